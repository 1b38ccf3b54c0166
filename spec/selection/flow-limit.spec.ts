import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FlowLimit } from '../../lib/selection/flow-limit.ts'
import { chargeBytes, localCell } from '../../lib/selection/rate-limit.ts'

const free = {
  bytesPerSecond: Number.POSITIVE_INFINITY,
  bytesPerSecondPerPeer: Number.POSITIVE_INFINITY,
  atOnce: 100,
  atOncePerPeer: 100,
}

test('room is given up to the limits of a peer and of all, and again once it is given back', () => {
  const limit = new FlowLimit({ ...free, atOnce: 3, atOncePerPeer: 2 })
  const first = limit.take('a')
  assert.ok(first !== undefined && limit.take('a') !== undefined)
  assert.equal(limit.take('a'), undefined, 'two for a peer')
  assert.ok(limit.take('b') !== undefined)
  assert.equal(limit.take('c'), undefined, 'three in all')
  first.free()
  first.free()
  assert.ok(limit.take('c') !== undefined)
  assert.equal(limit.take('a'), undefined, 'what was given back twice counts once')
})

test('a rate takes no more at once than it can feed', () => {
  const limit = new FlowLimit({ ...free, bytesPerSecond: 2 ** 20, bytesPerSecondPerPeer: 2 ** 19 })
  const taken = ['a', 'a', 'a', 'b', 'b', 'c'].map((peer) => limit.take(peer) !== undefined)
  assert.deepEqual(taken, [true, true, false, true, true, false])
})

test('other limits count for what begins from then on', () => {
  const limit = new FlowLimit({ ...free, atOnce: 1 })
  assert.ok(limit.take('a') !== undefined)
  assert.equal(limit.take('b'), undefined)
  limit.setLimits({ ...free, atOnce: 2 })
  assert.ok(limit.take('b') !== undefined)
})

test('the slower one of two rates decides: that of the peer, or that of all', () => {
  const limit = new FlowLimit({ ...free, bytesPerSecond: 2 ** 20, bytesPerSecondPerPeer: 2 ** 19 })
  assert.equal(limit.delayMs('a', 2 ** 19, 0), 0, 'the first bytes go at once')
  assert.equal(limit.delayMs('a', 1, 0), 900, 'a peer waits until its bytes are paid for')
  assert.equal(Math.round(limit.delayMs('b', 1, 0)), 400, 'another one only for those of all')
})

test('whatever is asked for when, no more goes than the rate and a short burst allow', () => {
  const asks = fc.array(fc.record({ bytes: fc.nat(100_000), afterMs: fc.nat(500) }), { maxLength: 60 })
  fc.assert(
    fc.property(asks, fc.integer({ min: 1000, max: 10_000_000 }), (list, rate) => {
      const cell = localCell()
      let nowMs = 0
      let gone = 0
      for (const { bytes, afterMs } of list) {
        nowMs += afterMs
        nowMs += chargeBytes(cell, bytes, rate, nowMs)
        // What goes now was asked for after all that went before was paid for, but for the burst.
        assert.ok((gone * 1000) / rate <= nowMs + 101, `${gone} bytes after ${nowMs} ms`)
        gone += bytes
      }
    }),
  )
})
