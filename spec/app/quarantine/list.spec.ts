import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { maxRecords, QuarantineList, quarantineLengthMs } from '../../../lib/app/quarantine/list.ts'
import type { WrongBytes } from '../../../lib/core/lookup.ts'
import { fakeDigest, fakeMember } from '../../support/fake-cluster.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const wrong: WrongBytes = { digest: fakeDigest('blob'), evidence: 'copy' }
const peer = (name: string) => ({ peerId: fakeMember(name).record.peerId, name })

test('a quarantine is twice as long each time, and a day at most unless the first one is longer', () => {
  const lengths = [1, 2, 3, 5, 6, 1000].map((times) => quarantineLengthMs(hourMs, times) / hourMs)
  assert.deepEqual(lengths, [1, 2, 4, 16, 24, 24])
  assert.equal(quarantineLengthMs(3 * dayMs, 4), 3 * dayMs)
})

test('a peer is in until its time is over, further evidence changes nothing meanwhile, and repetition counts', () => {
  const list = new QuarantineList()
  const { peerId } = peer('a')
  assert.equal(list.add(peer('a'), wrong, 1000, hourMs)?.times, 1)
  assert.equal(list.add(peer('a'), wrong, 2000, hourMs), undefined)
  assert.equal(list.has(peerId, 1000 + hourMs - 1), true)
  assert.equal(list.has(peerId, 1000 + hourMs), false)
  const again = list.add(peer('a'), wrong, 2 * hourMs, hourMs)
  assert.deepEqual([again?.times, again?.untilMs], [2, 4 * hourMs])
})

test('a week after its end a quarantine is forgotten, and one that was released at once', () => {
  const list = new QuarantineList()
  list.add(peer('a'), wrong, 0, hourMs)
  list.add(peer('b'), wrong, 0, hourMs)
  assert.equal(list.release(peer('b').peerId, 10)?.name, 'b')
  assert.equal(list.release(peer('b').peerId, 10), undefined)
  assert.equal(list.add(peer('b'), wrong, 20, hourMs)?.times, 1)
  assert.equal(list.add(peer('a'), wrong, hourMs + 7 * dayMs, hourMs)?.times, 1)
})

test('a clock that was set back makes no kept quarantine longer', () => {
  const list = new QuarantineList()
  list.add(peer('a'), wrong, 100 * dayMs, hourMs)
  const restarted = new QuarantineList()
  restarted.restore(list.records(), dayMs)
  assert.equal(restarted.has(peer('a').peerId, dayMs + hourMs - 1), true)
  assert.equal(restarted.has(peer('a').peerId, dayMs + hourMs), false)
})

test('the list is bounded, whoever comes', () => {
  const list = new QuarantineList()
  for (let index = 0; index < maxRecords + 50; index++) {
    list.add(peer(`node-${index}`), wrong, 1000 + index, hourMs)
  }
  assert.equal(list.records().length, maxRecords)
  assert.equal(list.has(peer(`node-${maxRecords + 49}`).peerId, 5000), true)
})

test('whatever happens, who is in is in the list with an end to come, and who was released is not', () => {
  const step = fc.record({
    what: fc.constantFrom('add', 'release'),
    who: fc.constantFrom('a', 'b', 'c'),
    waitMs: fc.integer({ min: 0, max: 2 * dayMs }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const list = new QuarantineList()
      let nowMs = 1
      for (const { what, who, waitMs } of steps) {
        nowMs += waitMs
        const { peerId } = peer(who)
        if (what === 'add') list.add(peer(who), wrong, nowMs, hourMs)
        else list.release(peerId, nowMs)
        assert.equal(list.has(peerId, nowMs), what === 'add')
        for (const { untilMs } of list.current(nowMs)) assert.ok(untilMs > nowMs && untilMs <= nowMs + dayMs)
      }
    }),
  )
})
