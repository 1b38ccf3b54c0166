import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BufferPool } from '../../lib/registry/buffer-pool.ts'
import { ChunkGarbage } from '../../lib/registry/chunk-garbage.ts'

const chunkBytes = 16 * 2 ** 10
const mib = 2 ** 20

test('chunks that were passed on are freed before they are many', () => {
  const garbage = new ChunkGarbage()
  const before = process.memoryUsage().arrayBuffers
  let most = 0
  for (let bytes = 0; bytes < 64 * mib; bytes += chunkBytes) {
    const chunk = Buffer.allocUnsafeSlow(chunkBytes)
    garbage.received(chunk.length)
    if (bytes % mib === 0) most = Math.max(most, process.memoryUsage().arrayBuffers - before)
  }
  assert.ok(most < 6 * mib, `${most} bytes were held`)
})

test('nobody else gets at the collector', () => {
  new ChunkGarbage()
  assert.equal('gc' in globalThis, false)
})

test('buffers that many used at once are used again, and let go when nobody does any more', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const pool = new BufferPool(1024, 32)
  const taken = Array.from({ length: 40 }, () => pool.take())
  for (const buffer of taken) pool.give(buffer)
  assert.equal(pool.idle, 32)
  assert.ok(taken.includes(pool.take()))
  t.mock.timers.tick(4000)
  assert.equal(pool.idle, 31)
  t.mock.timers.tick(10_000)
  assert.equal(pool.idle, 8)
})
