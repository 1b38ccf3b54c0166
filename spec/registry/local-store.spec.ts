import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import type { BlobReader } from '../../lib/core/content-store.ts'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import { LocalStore } from '../../lib/registry/local-store.ts'
import { eventually } from '../support/eventually.ts'
import { makeTestCluster } from '../support/test-trust.ts'
import {
  blobPath,
  candidateOf,
  fetchFrom,
  MemoryBlobs,
  manifestBytes,
  manifestPath,
  SpecControl,
  startPlane,
} from './harness.ts'

let cluster: Map<string, CredentialSet>
const node = (name: string): CredentialSet => cluster.get(name) as CredentialSet
const body = randomBytes(3_000_000)

before(async () => {
  cluster = await makeTestCluster({ nodes: [{ name: 'one' }, { name: 'two' }] })
})
after(() => cluster.clear())

/** Blobs whose reads go well up to an offset and then do something else. */
function failingAfter(blobs: MemoryBlobs, offset: number, then: () => Promise<number>): BlobReader {
  const reader = blobs.reader()
  return {
    async open(digest) {
      const handle = await reader.open(digest)
      if (handle === undefined) return undefined
      return {
        sizeBytes: handle.sizeBytes,
        read: (target, at) => (at >= offset ? then() : handle.read(target, at)),
        close: () => handle.close(),
      }
    },
    close: () => reader.close(),
  }
}

const failures: readonly (readonly [string, () => Promise<number>])[] = [
  ['ends too soon', () => Promise.resolve(0)],
  ['fails', () => Promise.reject(new Error('EIO'))],
  ['hangs', () => new Promise(() => {})],
]

for (const [says, then] of failures) {
  for (const offset of [0, 1_000_000]) {
    test(`a local blob that ${says} at ${offset} goes on at a peer, or ends early`, async () => {
      await using holder = await startPlane(node('two'), { host: '127.0.11.61' })
      holder.control.local.put(body)
      const control = new SpecControl()
      const digest = control.local.put(body)
      await using asking = await startPlane(node('one'), {
        host: '127.0.11.62',
        control,
        limits: { storeTimeoutMs: 150 },
      })
      asking.plane.setReader(failingAfter(control.local, offset, then))
      control.candidates = [candidateOf(node('two'), holder.endpoint)]
      const whole = await fetchFrom(asking.endpoint, node('one'), blobPath(digest))
      assert.equal(whole.status, 200)
      assert.equal(whole.end, 'complete')
      assert.ok(whole.body.equals(body))
      assert.deepEqual(control.lost, [digest])
      control.candidates = []
      const cut = await fetchFrom(asking.endpoint, node('one'), blobPath(digest))
      if (offset === 0) assert.equal(cut.status, 404)
      else {
        assert.equal(cut.end, 'early')
        assert.ok(cut.body.length < body.length && cut.body.equals(body.subarray(0, cut.body.length)))
      }
    })
  }
}

test('a local manifest that does not match its digest is not sent', async () => {
  const control = new SpecControl()
  const digest = control.local.put(manifestBytes(control.local.put(body), []))
  control.local.blobs.set(digest, manifestBytes(digest, []))
  await using asking = await startPlane(node('one'), { host: '127.0.11.63', control })
  const answer = await fetchFrom(asking.endpoint, node('one'), manifestPath(digest))
  assert.equal(answer.status, 404)
  assert.deepEqual(control.lost, [digest])
})

test('a reader that was replaced is closed when the last of its blobs is', async () => {
  const blobs = new MemoryBlobs()
  const digest = blobs.put(body)
  let closed = 0
  const reader: BlobReader = {
    ...blobs.reader(),
    close: async () => {
      closed++
    },
  }
  const store = new LocalStore(reader, { maxReads: 1, storeTimeoutMs: 1000 })
  const blob = await store.open(digest)
  store.setReader(blobs.reader())
  assert.equal(closed, 0)
  assert.ok(Buffer.from((await blob?.readAll()) ?? []).equals(body))
  blob?.close()
  blob?.close()
  assert.equal(closed, 1)
})

test('a blob that was open a moment ago is not opened again, and is closed once nobody needs it', async () => {
  const blobs = new MemoryBlobs()
  const digest = blobs.put(body)
  let opened = 0
  let closed = 0
  const reader: BlobReader = {
    async open(asked) {
      const handle = await blobs.reader().open(asked)
      opened++
      return handle && { ...handle, close: async () => void closed++ }
    },
    close: async () => {},
  }
  const store = new LocalStore(reader, { maxReads: 1, storeTimeoutMs: 100_000 })
  const first = await store.open(digest)
  const second = await store.open(digest)
  assert.equal(opened, 1)
  first?.close()
  store.setReader(blobs.reader())
  assert.equal(closed, 0)
  assert.ok(Buffer.from((await second?.readAll()) ?? []).equals(body))
  second?.close()
  assert.equal(closed, 1)
  store.setReader(reader)
  const third = await store.open(digest)
  third?.close()
  assert.equal(opened, 2)
  await eventually(() => closed === 2)
})

test('a blob that turned out to be short, or could not be read, is opened anew', async () => {
  const blobs = new MemoryBlobs()
  const digest = blobs.put(body)
  for (const then of [() => Promise.resolve(0), () => Promise.reject(new Error('EIO'))]) {
    const failing = failingAfter(blobs, 1000, then)
    let opened = 0
    const reader: BlobReader = {
      open: (asked) => (opened++ === 0 ? failing : blobs.reader()).open(asked),
      close: async () => {},
    }
    const store = new LocalStore(reader, { maxReads: 1, storeTimeoutMs: 1000 })
    const before = await store.open(digest)
    await before?.read(new Uint8Array(10), 1000).catch(() => {})
    const after = await store.open(digest)
    assert.equal(opened, 2)
    assert.ok(Buffer.from((await after?.readAll()) ?? []).equals(body))
    for (const blob of [before, after]) blob?.close()
    store.close()
  }
})

test('no more reads run at once than allowed', async () => {
  let running = 0
  let most = 0
  const reader: BlobReader = {
    async open() {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      running--
      return undefined
    },
    close: async () => {},
  }
  const store = new LocalStore(reader, { maxReads: 2, storeTimeoutMs: 1000 })
  const digest = new MemoryBlobs().put(body)
  await Promise.all(Array.from({ length: 20 }, () => store.open(digest)))
  assert.equal(most, 2)
})
