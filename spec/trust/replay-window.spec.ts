import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ReplayWindow } from '../../lib/trust/replay-window.ts'

test('the window says what a set of all counters with a moving floor says', () => {
  const counters = fc.array(fc.nat(300), { maxLength: 200 })
  fc.assert(
    fc.property(counters, (sequence) => {
      const window = new ReplayWindow(64)
      const seen = new Set<number>()
      let top = -1
      for (const counter of sequence) {
        assert.equal(window.seen(counter), seen.has(counter) || counter <= top - 64)
        window.mark(counter)
        seen.add(counter)
        top = Math.max(top, counter)
      }
    }),
  )
})

test('the greatest counters are handled', () => {
  const window = new ReplayWindow()
  window.mark(0)
  window.mark(2 ** 64)
  assert.equal(window.seen(2 ** 64), true)
  assert.equal(window.seen(5), true)
})
