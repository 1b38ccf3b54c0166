import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import type { Digest } from '../../lib/core/digest.ts'
import { createOciLayoutReader } from '../../lib/oci-layout/blob-reader.ts'
import { readIndex } from '../../lib/oci-layout/layout.ts'
import { LayoutWriter } from '../../lib/oci-layout/writer.ts'
import { buildImage, type PlatformImage } from '../support/oci-image.ts'
import { expectedBytes, readAll } from '../support/store-testing.ts'

describe('the writer of an image-layout folder', () => {
  let path: string
  let writer: LayoutWriter
  let image: PlatformImage

  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), 'starling-writer-'))
    writer = await LayoutWriter.open(path)
    image = await buildImage({ seed: 'w', layers: [{ sizeBytes: 100_000 }] })
  })
  afterEach(() => rm(path, { recursive: true }))

  const leftovers = (): Promise<string[]> => readdir(join(path, 'ingest'))

  it('makes an empty layout, and leaves one that is there as it is', async () => {
    assert.deepEqual(JSON.parse(await readFile(join(path, 'oci-layout'), 'utf8')), {
      imageLayoutVersion: '1.0.0',
    })
    assert.deepEqual(await readIndex(path), { images: [], skipped: 0, truncated: false })
    await writer.putImage('registry.test/a:1', image.root)
    const before = await readFile(join(path, 'index.json'), 'utf8')
    await LayoutWriter.open(path)
    assert.equal(await readFile(join(path, 'index.json'), 'utf8'), before)
    assert.deepEqual(await leftovers(), [])
  })

  it('stores bytes and streams, and does not read the source of what it has', async () => {
    const { digest, size } = image.layers[0]!
    const bytes = await expectedBytes(image, digest)
    assert.equal(await writer.addBlob(image.blobs.get(digest)!.bytes(), digest), size)
    const reader = createOciLayoutReader({ kind: 'oci-layout', path })
    assert.deepEqual(await readAll(reader, digest), bytes)
    const unreadable = {
      [Symbol.asyncIterator]: (): never => assert.fail('the source was read'),
    }
    assert.equal(await writer.addBlob(unreadable, digest), size)
    await writer.addBlob(await expectedBytes(image, image.root.digest), image.root.digest)
    assert.deepEqual(await readAll(reader, image.root.digest), await expectedBytes(image, image.root.digest))
    await reader.close()
  })

  it('refuses bytes of another digest and leaves nothing behind', async () => {
    const digest = `sha256:${'0'.repeat(64)}` as Digest
    await assert.rejects(() => writer.addBlob(Buffer.from('x'), digest), { code: 'STORE_INVALID' })
    assert.deepEqual(await leftovers(), [])
    assert.deepEqual(await readdir(join(path, 'blobs', 'sha256')), [])
  })

  it('a source that fails in the middle leaves nothing behind', async () => {
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from('first')
      throw new Error('the source broke')
    }
    await assert.rejects(() => writer.addBlob(failing(), image.root.digest), /the source broke/)
    assert.deepEqual(await leftovers(), [])
    assert.deepEqual(await readdir(join(path, 'blobs', 'sha256')), [])
  })

  it('refuses hostile digests and names before it touches a file', async () => {
    await assert.rejects(() => writer.addBlob(Buffer.from('x'), '../../x' as Digest), {
      code: 'DIGEST_INVALID',
    })
    await assert.rejects(() => writer.putImage('registry.test/../x:1', image.root), {
      code: 'REFERENCE_INVALID',
    })
    await assert.rejects(
      () => writer.putImage('registry.test/a:1', { ...image.root, digest: 'sha256:x' as Digest }),
      {
        code: 'DIGEST_INVALID',
      },
    )
    assert.deepEqual((await readIndex(path)).images, [])
  })

  it('names that are put at the same time are all there; a name that is put again moves', async () => {
    const names = Array.from({ length: 20 }, (_, index) => `registry.test/a:${index}`)
    await Promise.all(names.map((name) => writer.putImage(name, image.root)))
    const other = { ...image.root, digest: image.config.digest }
    await writer.putImage('registry.test/a:3', other)
    await writer.removeImage('registry.test/a:4')
    await writer.removeImage('registry.test/never:1')
    const images = new Map((await readIndex(path)).images.map(({ name, target }) => [name, target]))
    assert.equal(images.size, 19)
    assert.equal(images.get('registry.test/a:3'), other.digest)
    assert.equal(images.has('registry.test/a:4'), false)
  })

  it('keeps entries and fields of others in index.json', async () => {
    const foreign = {
      schemaVersion: 2,
      annotations: { by: 'someone' },
      manifests: [{ digest: 'sha512:x', own: 1 }],
    }
    await writeFile(join(path, 'index.json'), JSON.stringify(foreign))
    await writer.putImage('registry.test/a:1', image.root)
    await writer.removeImage('registry.test/a:1')
    const index = JSON.parse(await readFile(join(path, 'index.json'), 'utf8'))
    assert.deepEqual(index.annotations, foreign.annotations)
    assert.deepEqual(index.manifests, foreign.manifests)
  })

  it('does not write over an index.json that it cannot read', async () => {
    await writeFile(join(path, 'index.json'), '{"manifests":[')
    await assert.rejects(() => writer.putImage('registry.test/a:1', image.root), { code: 'STORE_INVALID' })
    assert.equal(await readFile(join(path, 'index.json'), 'utf8'), '{"manifests":[')
    await writeFile(join(path, 'index.json'), '{"manifests":[]}')
    await writer.putImage('registry.test/a:1', image.root)
    assert.equal((await readIndex(path)).images.length, 1)
  })

  it('a folder that cannot be made is an error with a code', async () => {
    await writeFile(join(path, 'file'), 'x')
    await assert.rejects(() => LayoutWriter.open(join(path, 'file', 'layout')), { code: 'STORE_UNAVAILABLE' })
  })

  it('what the writer makes is a layout that skopeo reads', { skip: skopeoMissing() }, async () => {
    for (const [digest, blob] of image.blobs) await writer.addBlob(blob.bytes(), digest)
    await writer.putImage('registry.test/a:1', image.root)
    const raw = execFileSync('skopeo', ['inspect', '--raw', `oci:${path}:1`])
    assert.deepEqual(raw, await expectedBytes(image, image.root.digest))
  })

  it('a full disk is DISK_FULL, and nothing half written is left', { skip: tmpfsMissing() }, async () => {
    const mount = await mkdtemp(join(tmpdir(), 'starling-full-'))
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', mount])
    try {
      const full = await LayoutWriter.open(join(mount, 'layout'))
      await full.putImage('registry.test/a:1', image.root)
      const big = await buildImage({ seed: 'big', layers: [{ sizeBytes: 1_000_000 }] })
      const { digest } = big.layers[0]!
      await assert.rejects(() => full.addBlob(big.blobs.get(digest)!.bytes(), digest), { code: 'DISK_FULL' })
      assert.deepEqual(await readdir(join(mount, 'layout', 'ingest')), [])
      assert.deepEqual(await readdir(join(mount, 'layout', 'blobs', 'sha256')), [])
      const { bsize, bavail } = await statfs(mount)
      await writeFile(join(mount, 'filler'), Buffer.alloc(bsize * bavail))
      await assert.rejects(() => full.putImage('registry.test/b:1', image.root), { code: 'DISK_FULL' })
      assert.deepEqual(
        (await readIndex(join(mount, 'layout'))).images.map(({ name }) => name),
        ['registry.test/a:1'],
      )
    } finally {
      execFileSync('umount', [mount])
      await rm(mount, { recursive: true })
    }
  })
})

function skopeoMissing(): string | false {
  try {
    execFileSync('skopeo', ['--version'], { stdio: 'ignore' })
    return false
  } catch {
    return 'skopeo is not installed'
  }
}

function tmpfsMissing(): string | false {
  return process.platform === 'linux' && process.getuid?.() === 0
    ? false
    : 'mounting a tmpfs needs root on Linux'
}
