import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { truncate, writeFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { gzipSync } from 'node:zlib'
import { StarlingError } from '../../lib/core/errors.ts'
import { type Entry, nothing, ociEntries, tarBytes, withPlace } from './archive-place.ts'

/** Refused in one line that names the file, and nothing is left of it. */
async function refused(bytes: Uint8Array, message: RegExp, sizeBytes?: number): Promise<void> {
  await withPlace(async ({ file, run, state }) => {
    await writeFile(file, bytes)
    if (sizeBytes !== undefined) await truncate(file, sizeBytes)
    await assert.rejects(run(), (error) => {
      assert.ok(error instanceof StarlingError && error.code === 'ARCHIVE_INVALID', String(error))
      assert.match(error.format(), message)
      assert.ok(error.format().startsWith(`${file}: `))
      assert.doesNotMatch(error.format(), /\p{Cc}/u)
      return true
    })
    assert.deepEqual(await state(), nothing)
  })
}

const dockerEntries = (manifest: object, more: readonly Entry[] = []): Entry[] => [
  [{ name: 'config.json' }, '{}'],
  [{ name: 'layer.tar' }, 'x'],
  ...more,
  [{ name: 'manifest.json' }, JSON.stringify([manifest])],
]

/** An OCI archive whose index.json names these bytes as an image. */
function ociOf(root: object, mediaType = 'application/vnd.oci.image.manifest.v1+json'): Entry[] {
  const text = JSON.stringify(root)
  const hex = createHash('sha256').update(text).digest('hex')
  const annotations = { 'io.containerd.image.name': 'made-up.test/a:1' }
  const target = { mediaType, digest: `sha256:${hex}`, size: text.length, annotations }
  return [
    [{ name: 'oci-layout' }, '{}'],
    [{ name: `blobs/sha256/${hex}` }, text],
    [{ name: 'index.json' }, JSON.stringify({ manifests: [target] })],
  ]
}

const digest = (index: number) => `sha256:${index.toString(16).padStart(64, '0')}`
const descriptor = (index: number) => ({ mediaType: 'application/x', digest: digest(index), size: 1 })

describe('a hostile archive', () => {
  const entries: readonly (readonly [title: string, entry: Entry, message: RegExp])[] = [
    ['a character device', [{ name: 'a', type: 'character-device' }, ''], /is a device, at byte/],
    ['an absolute link', [{ name: 'a', type: 'symlink', linkname: '/etc' }, ''], /links to "\/etc", out of/],
    ['a name that climbs behind a folder', [{ name: 'a/b/../../../c' }, 'x'], /leads out of the archive/],
    [
      'a name of 5000 characters',
      [{ name: `${'a'.repeat(99)}/`.repeat(50) }, 'x'],
      /empty or too long, at byte/,
    ],
    [
      'a name with control characters',
      [{ name: '/\u001b[2J\n' }, 'x'],
      /"\/\\u001b\[2J\\n".*path is absolute/,
    ],
  ]
  for (const [title, entry, message] of entries) {
    it(`with ${title} is refused`, async () =>
      refused(await tarBytes([...(await ociEntries()), entry]), message))
  }

  it('whose links go round in circles is refused', async () => {
    const links: Entry[] = [
      [{ name: 'one', type: 'symlink', linkname: 'two' }, ''],
      [{ name: 'two', type: 'symlink', linkname: 'one' }, ''],
    ]
    const manifest = { Config: 'config.json', Layers: ['one'], RepoTags: ['made-up.test/a:1'] }
    await refused(await tarBytes(dockerEntries(manifest, links)), /names "one", which is not there/)
  })

  for (const [title, manifest, message] of [
    [
      'names files outside',
      { Config: '../../etc/passwd', Layers: [], RepoTags: ['a:1'] },
      /names "\.\.\/\.\.\/etc\/passwd"/,
    ],
    [
      'has no list of layers',
      { Config: 'config.json', Layers: 'layer.tar', RepoTags: ['a:1'] },
      /no list of images/,
    ],
    [
      'has a hostile name',
      { Config: 'config.json', Layers: [], RepoTags: ['../../a:1'] },
      /no image in it has a full name/,
    ],
    [
      'has a name with escapes',
      { Config: 'config.json', Layers: [], RepoTags: ['\u001b[2J:1'] },
      /no image in it has/,
    ],
  ] as const) {
    it(`whose manifest.json ${title} is refused`, async () =>
      refused(await tarBytes(dockerEntries(manifest)), message))
  }

  it('whose documents are larger than 4 MiB is refused before they are read', async () => {
    const big = Buffer.alloc(4 * 2 ** 20 + 1, ' ')
    await refused(
      await tarBytes([[{ name: 'index.json' }, big]]),
      /index\.json is larger than 4194304 bytes, at byte/,
    )
  })

  it('whose manifest names thousands of layers that are not there is refused at the first', async () => {
    const layers = Array.from({ length: 20_001 }, (_, index) => descriptor(index))
    await refused(
      await tarBytes(ociOf({ config: descriptor(1), layers })),
      /sha256:0{64} is named and is not there/,
    )
  })

  for (const [title, root, message] of [
    ['is a list', [], /is no manifest/],
    ['names things that are no descriptors', { config: { digest: 'md5:1' }, layers: [] }, /no descriptor/],
    [
      'has layers with impossible sizes',
      { config: descriptor(1), layers: [{ ...descriptor(2), size: -1 }] },
      /no descriptor/,
    ],
    ['names no platform that is there', { manifests: [descriptor(3)] }, /none of the wanted platforms/],
  ] as const) {
    it(`whose manifest ${title} is refused`, async () => refused(await tarBytes(ociOf(root)), message))
  }

  it('whose image is of a media type that is no image is refused', async () => {
    const root = { config: descriptor(1), layers: [] }
    await refused(await tarBytes(ociOf(root, 'text/html')), /is no manifest/)
  })

  it('whose tar claims more bytes than there are is refused', async () => {
    const bytes = await tarBytes(await ociEntries())
    bytes.write('77777777777', 124)
    // The sum over the header, with its own field taken as blanks.
    bytes.fill(' ', 148, 156)
    const sum = bytes.subarray(0, 512).reduce((total, byte) => total + byte, 0)
    bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
    await refused(bytes, /truncated/)
  })

  it('that is a huge hole behind a tar header is refused, with little memory', async () => {
    const bytes = await tarBytes(await ociEntries())
    const before = process.memoryUsage.rss()
    // A file of zeros where a blob should be.
    await refused(bytes.subarray(0, 512), /have digest sha256:[0-9a-f]{64}, at byte 512/, 8 * 2 ** 30)
    assert.ok(process.memoryUsage.rss() - before < 128 * 2 ** 20)
  })

  it('that is gzip of gzip is refused: what is inside is no tar', async () => {
    const inner = gzipSync(await tarBytes(await ociEntries()))
    await refused(gzipSync(inner), /the tar cannot be read: an entry is malformed, at byte 0/)
  })

  it('whose gzip has a wrong checksum is refused', async () => {
    const packed = gzipSync(await tarBytes(await ociEntries()))
    packed[packed.length - 6] = (packed[packed.length - 6] ?? 0) ^ 0xff
    await refused(packed, /gzip data cannot be unpacked: .*near byte/)
  })

  it('that is a hole without any header is refused by its first bytes', async () => {
    await refused(Buffer.alloc(0), /no tar archive.*at byte 0/, 8 * 2 ** 30)
  })
})
