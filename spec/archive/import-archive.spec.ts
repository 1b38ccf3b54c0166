import assert from 'node:assert/strict'
import { readFile, truncate, writeFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { importArchive } from '../../lib/archive/import-archive.ts'
import { digestHex } from '../../lib/core/digest.ts'
import { StarlingError } from '../../lib/core/errors.ts'
import { writeDockerArchive, writeOciArchive } from '../support/oci-files.ts'
import { buildImage, buildIndex, hostPlatform } from '../support/oci-image.ts'
import {
  type Entry,
  image,
  name,
  nothing,
  ociEntries,
  platform,
  tarBytes,
  withPlace,
} from './archive-place.ts'

describe('importing an archive', () => {
  it('an OCI archive is stored blob for blob, named also by its digest, and pinned', () =>
    withPlace(async ({ file, run, writer }) => {
      await writeOciArchive(file, [{ name, image }])
      const { images } = await run()
      assert.deepEqual(images, [{ name, digest: image.root.digest }])
      for (const digest of image.blobs.keys()) assert.notEqual(await writer.sizeOf(digest), undefined)
      const stored = await writer.images()
      assert.deepEqual(
        stored.map((entry) => entry.name),
        [name, `made-up.test/team/app@${image.root.digest}`],
      )
      for (const entry of stored) assert.equal(entry.labels['io.cri-containerd.pinned'], 'pinned')
    }))

  it('a docker-archive is stored with the same digest each time', () =>
    withPlace(async ({ file, run, writer, state }) => {
      await writeDockerArchive(file, name, image)
      const first = await run()
      const before = await state()
      assert.deepEqual(await run(), first)
      assert.deepEqual(await state(), before)
      const digest = first.images[0]?.digest
      assert.ok(digest !== undefined)
      const manifest = JSON.parse(Buffer.from((await writer.readSmall(digest)) ?? '').toString())
      assert.deepEqual(
        manifest.layers.map((layer: { digest: string }) => layer.digest),
        image.diffs.map((diff) => diff.descriptor.digest),
      )
    }))

  it('of several platforms one can be kept', () =>
    withPlace(async ({ file, writer }) => {
      const other = await buildImage({
        seed: 'other',
        layers: [{ sizeBytes: 9 }],
        platform: { os: 'linux', architecture: 's390x' },
      })
      const index = await buildIndex([
        { image, platform: hostPlatform() },
        { image: other, platform: { os: 'linux', architecture: 's390x' } },
      ])
      await writeOciArchive(file, [{ name, image: index }])
      await importArchive({ path: file, writer, platform, hostPlatform: platform })
      for (const digest of image.blobs.keys()) assert.notEqual(await writer.sizeOf(digest), undefined)
      for (const digest of other.blobs.keys()) assert.equal(await writer.sizeOf(digest), undefined)
    }))

  const hostile: readonly (readonly [title: string, entry: Entry, message: RegExp])[] = [
    ['an absolute path', [{ name: '/etc/passwd' }, 'x'], /path is absolute, at byte \d+/],
    ['a path that leads out', [{ name: 'a/../../b' }, 'x'], /leads out of the archive, at byte/],
    [
      'a symbolic link out of it',
      [{ name: 'a', type: 'symlink', linkname: '../../etc' }, ''],
      /out of the archive/,
    ],
    [
      'a hard link out of it',
      [{ name: 'a', type: 'link', linkname: '/etc/shadow' }, ''],
      /out of the archive/,
    ],
    ['a device', [{ name: 'a', type: 'block-device' }, ''], /is a device, at byte/],
    ['a pipe', [{ name: 'a', type: 'fifo' }, ''], /is a named pipe/],
    ['an entry that is there twice', [{ name: 'index.json' }, '{}'], /is there twice, at byte/],
    [
      'bytes of another digest',
      [{ name: `blobs/sha256/${'0'.repeat(64)}` }, 'x'],
      /have digest sha256:[0-9a-f]{64}, at byte/,
    ],
  ]
  for (const [title, entry, message] of hostile) {
    it(`${title} is refused, and nothing is stored`, () =>
      withPlace(async ({ file, run, state }) => {
        await writeFile(file, await tarBytes([...(await ociEntries()), entry]))
        await assert.rejects(run(), (error) => {
          assert.ok(error instanceof StarlingError && error.code === 'ARCHIVE_INVALID')
          assert.match(error.format(), message)
          assert.doesNotMatch(error.format(), /\n/)
          return true
        })
        assert.deepEqual(await state(), nothing)
      }))
  }

  it('an archive that is cut anywhere is refused, and nothing is stored', () =>
    withPlace(async ({ file, run, state }) => {
      await writeOciArchive(file, [{ name, image }])
      const whole = await readFile(file)
      for (const size of [100, 512, 700, 200_000, 300_000, whole.length - 4000]) {
        await writeFile(file, whole)
        await truncate(file, size)
        await assert.rejects(
          run(),
          (error) =>
            error instanceof StarlingError &&
            error.code === 'ARCHIVE_INVALID' &&
            (size < 512 || error.format().includes(`it ends at byte ${size}`)),
          `${size}`,
        )
        assert.deepEqual(await state(), nothing)
      }
    }))

  const bent: readonly (readonly [title: string, (entries: Entry[]) => Entry[], RegExp])[] = [
    [
      'a layer that is missing',
      (entries) =>
        entries.filter(
          ([header]) => !header.name.endsWith(digestHex(image.layers[0]?.digest ?? image.root.digest)),
        ),
      /is named and is not there/,
    ],
    [
      'a size that is not the blob’s',
      (entries) =>
        entries.map(([header, text]) =>
          header.name === 'index.json'
            ? [header, String(text).replace(`"size":${image.root.size}`, '"size":7')]
            : [header, text],
        ),
      /not the 7 that are named/,
    ],
    [
      'an index that is no JSON',
      (entries) =>
        entries.map(([header, text]) => (header.name === 'index.json' ? [header, '{'] : [header, text])),
      /index.json is no index/,
    ],
    [
      'no index at all',
      (entries) => entries.filter(([header]) => header.name !== 'index.json'),
      /neither a docker-archive/,
    ],
    [
      'no name',
      (entries) =>
        entries.map(([header, text]) =>
          header.name === 'index.json' ? [header, String(text).replace(name, '!!')] : [header, text],
        ),
      /no image in it has a full name/,
    ],
  ]
  for (const [title, bend, message] of bent) {
    it(`an archive with ${title} is refused, and nothing is stored`, () =>
      withPlace(async ({ file, run, state }) => {
        await writeFile(file, await tarBytes(bend(await ociEntries())))
        await assert.rejects(run(), (error) => error instanceof StarlingError && message.test(error.format()))
        assert.deepEqual(await state(), nothing)
      }))
  }
})
