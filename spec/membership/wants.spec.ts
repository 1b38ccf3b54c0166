import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultSettings } from '../../lib/membership/settings.ts'
import { Bench } from './fixtures.ts'

test('strangers beyond the bound are wanted once those before them have had their time', () => {
  const { maxWants } = defaultSettings
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
  assert.equal(fetchesAfter(0, maxWants, 1000), maxWants)
  assert.equal(fetchesAfter(maxWants, maxWants, 10_900), 0)
  // The first half is asked for again, and has its time from now on.
  assert.equal(fetchesAfter(0, maxWants / 2, 11_000), maxWants / 2)
  assert.equal(fetchesAfter(maxWants, maxWants, 11_000), maxWants / 2)
  assert.equal(bench.machine.gauges().wants, maxWants)
})
