import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bench } from './fixtures.ts'

test('strangers beyond the bound are wanted once those before them have had their time', () => {
  const bench = new Bench(2)
  const teller = bench.members[0]!
  const fetchesAfter = (first: number, count: number, nowMs: number) => {
    const claims = Array.from({ length: count }, (_, index) => ({
      ...bench.claim(teller, 'alive', 1),
      shortId: (first + index).toString(16).padStart(16, '0'),
    }))
    const effects = bench.step({ type: 'claims', from: teller.record.peerId, claims }, nowMs)
    return effects.filter(({ type }) => type === 'fetch').length
  }
  assert.equal(fetchesAfter(0, 1024, 1000), 1024)
  assert.equal(fetchesAfter(2000, 1024, 10_900), 0)
  // The first half is asked for again, and has its time from now on.
  assert.equal(fetchesAfter(0, 512, 11_000), 512)
  assert.equal(fetchesAfter(2000, 1024, 11_000), 512)
  assert.equal(bench.machine.gauges().wants, 1024)
})
