import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { createContainerdReader } from '../../lib/containerd/blob-reader.ts'
import type { BlobReader, GrowingBlob } from '../../lib/core/content-store.ts'
import { type Digest, digestHex } from '../../lib/core/digest.ts'
import { tempFolder } from '../support/temp-folder.ts'

const bytes = Buffer.from('the bytes of a layer')
const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}` as Digest
const ref = `k8s.io/3/layer-${digest}`

/** A content folder as containerd's, with one download in progress. */
async function folder(): Promise<
  { root: string; ingest: string; blob: string; reader: BlobReader } & AsyncDisposable
> {
  const temp = await tempFolder('ingests')
  const root = temp.path
  const ingest = join(root, 'ingest', createHash('sha256').update(ref).digest('hex'))
  await mkdir(ingest, { recursive: true })
  await mkdir(join(root, 'blobs', 'sha256'), { recursive: true })
  await writeFile(join(ingest, 'ref'), ref)
  await writeFile(join(ingest, 'total'), String(bytes.length))
  await writeFile(join(ingest, 'data'), bytes.subarray(0, 5))
  const source = { kind: 'containerd', contentPath: root, socket: '/none', namespaces: ['k8s.io'] } as const
  const reader = createContainerdReader(source)
  return {
    root,
    ingest,
    blob: join(root, 'blobs', 'sha256', digestHex(digest)),
    reader,
    async [Symbol.asyncDispose]() {
      await reader.close()
      await temp[Symbol.asyncDispose]()
    },
  }
}

async function opened(reader: BlobReader): Promise<GrowingBlob> {
  const blob = await reader.openGrowing?.(digest)
  assert.ok(blob)
  return blob
}

describe('a download in progress of containerd', () => {
  it('is found by its digest, grows, and is complete once it is committed', async () => {
    await using place = await folder()
    const blob = await opened(place.reader)
    assert.deepEqual(await blob.look(), { state: 'open', reachedBytes: 5, sizeBytes: bytes.length })
    await writeFile(join(place.ingest, 'data'), bytes.subarray(5), { flag: 'a' })
    assert.deepEqual(await blob.look(), {
      state: 'open',
      reachedBytes: bytes.length,
      sizeBytes: bytes.length,
    })
    await rename(join(place.ingest, 'data'), place.blob)
    await rm(place.ingest, { recursive: true })
    assert.deepEqual(await blob.look(), {
      state: 'done',
      reachedBytes: bytes.length,
      sizeBytes: bytes.length,
    })
    const target = Buffer.alloc(50)
    assert.equal(await blob.read(target, 4), bytes.length - 4)
    assert.deepEqual(target.subarray(0, bytes.length - 4), bytes.subarray(4))
    await blob.close()
    assert.equal((await (await opened(place.reader)).look()).state, 'done', 'and found as a blob afterwards')
  })

  it('is gone when it is deleted, or begins anew', async () => {
    await using place = await folder()
    const deleted = await opened(place.reader)
    const cut = await opened(place.reader)
    await writeFile(join(place.ingest, 'data'), '')
    assert.equal((await cut.look()).state, 'gone')
    await rm(place.ingest, { recursive: true })
    assert.equal((await deleted.look()).state, 'gone')
    assert.equal(await place.reader.openGrowing?.(digest), undefined)
  })

  it('without a known size is open until it is committed', async () => {
    await using place = await folder()
    await rm(join(place.ingest, 'total'))
    const blob = await opened(place.reader)
    assert.deepEqual(await blob.look(), { state: 'open', reachedBytes: 5, sizeBytes: undefined })
    await writeFile(join(place.ingest, 'data'), bytes)
    await rename(join(place.ingest, 'data'), place.blob)
    assert.equal((await blob.look()).state, 'done')
  })

  it('of another digest, and what is no download, is passed over', async () => {
    await using place = await folder()
    await writeFile(join(place.root, 'ingest', 'note'), 'x')
    await mkdir(join(place.root, 'ingest', 'a'.repeat(64)))
    const other = `sha256:${'0'.repeat(64)}` as Digest
    assert.equal(await place.reader.openGrowing?.(other), undefined)
    assert.ok(await place.reader.openGrowing?.(digest))
  })
})
