import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HotBlobs } from '../../lib/registry/hot-blobs.ts'
import { digestOf } from './harness.ts'

const blobOf = (text: string) => ({ bytes: Buffer.from(text), stamp: '1', checked: true })

test('a blob that is asked for twice is kept, with bytes of its own; one that is asked for once is not', () => {
  const hot = new HotBlobs()
  const blob = blobOf('configuration')
  const digest = digestOf(blob.bytes)
  hot.put(digest, blob)
  assert.equal(hot.get(digest), undefined)
  hot.put(digest, blob)
  blob.bytes.fill(0)
  assert.equal(Buffer.from(hot.get(digest)?.bytes ?? []).toString(), 'configuration')
})

test('what is kept has a bound, and the newest stays', () => {
  const hot = new HotBlobs()
  const blobs = Array.from({ length: 32 }, (_, index) => blobOf(String(index).repeat(100_000)))
  for (const blob of blobs) for (let turn = 0; turn < 2; turn++) hot.put(digestOf(blob.bytes), blob)
  const kept = blobs.filter(({ bytes }) => hot.get(digestOf(bytes)) !== undefined)
  assert.ok(kept.length > 0 && kept.reduce((sum, { bytes }) => sum + bytes.length, 0) <= 2 * 2 ** 20)
  assert.ok(kept.includes(blobs.at(-1) as (typeof blobs)[0]))
})
