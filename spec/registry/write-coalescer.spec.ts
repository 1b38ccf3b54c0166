import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import { BufferPool } from '../../lib/registry/buffer-pool.ts'
import { WriteCoalescer } from '../../lib/registry/write-coalescer.ts'

test('what comes out is what went in, in few writes, whatever the sizes of the pieces', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 60_000, max: 70_000 })), {
        maxLength: 20,
      }),
      async (sizes) => {
        const pool = new BufferPool(1000, 2)
        const written: Buffer[] = []
        const coalescer = new WriteCoalescer((chunk, done) => {
          written.push(Buffer.from(chunk))
          // The buffer is used again only after this.
          setImmediate(done)
          return true
        }, pool)
        const pieces = sizes.map((size, index) => Buffer.alloc(size, index + 1))
        for (const piece of pieces) coalescer.push(piece)
        await nextTurn()
        assert.ok(Buffer.concat(written).equals(Buffer.concat(pieces)))
        const small = sizes.filter((size) => size < 60_000)
        if (small.length === sizes.length) {
          assert.equal(written.length, Math.ceil(small.reduce((sum, size) => sum + size, 0) / 1000))
        }
      },
    ),
    { numRuns: 50 },
  )
})

test('what was gathered leaves by itself when nothing else comes', async () => {
  const written: number[] = []
  const coalescer = new WriteCoalescer((chunk) => written.push(chunk.length) > 0, new BufferPool(1000, 2))
  coalescer.push(Buffer.alloc(10))
  assert.deepEqual(written, [])
  await nextTurn()
  assert.deepEqual(written, [10])
})
