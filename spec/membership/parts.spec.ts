import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { MemberDirectory } from '../../lib/membership/directory.ts'
import { LocalHealth } from '../../lib/membership/health.ts'
import { ProbeRing } from '../../lib/membership/probe-ring.ts'
import { defaultSettings } from '../../lib/membership/settings.ts'
import { overrides } from '../../lib/membership/states.ts'
import { dueStep, suspicionTimeoutMs } from '../../lib/membership/suspicions.ts'
import { MemberTable } from '../../lib/membership/table.ts'
import { seededRng } from '../sim/random.ts'
import { makeSigned } from './fixtures.ts'

test('a suspicion lasts six times its minimum without confirmation, and its minimum with three', () => {
  const timeouts = [0, 1, 2, 3, 9].map((count) => suspicionTimeoutMs(100, count, defaultSettings))
  assert.equal(timeouts[0], 24_000)
  assert.equal(timeouts[3], 4000)
  assert.equal(timeouts[4], 4000)
  assert.deepEqual(
    timeouts,
    [...timeouts].sort((a, b) => b - a),
  )
  assert.equal(suspicionTimeoutMs(2, 0, defaultSettings), 2000)
})

test('a wait ends at a step that it shares, never early, and late by little', () => {
  const stepMs = 20
  const isShared = new Set(Array.from({ length: 1000 }, (_, index) => dueStep(0, 10_000 + index)))
  assert.equal(isShared.size, 3)
  fc.assert(
    fc.property(fc.nat(10 ** 9), fc.integer({ min: -1000, max: 60_000 }), (nowMs, waitMs) => {
      const lateMs = dueStep(nowMs, nowMs + waitMs) * stepMs - nowMs - Math.max(0, waitMs)
      assert.ok(lateMs >= 0 && lateMs < Math.max(stepMs, waitMs / 20 + 1), `${lateMs} ms late`)
    }),
  )
})

test('any two claims are ordered, so that all orders of arrival end alike', () => {
  const claim = fc.record(
    { incarnation: fc.nat(3), state: fc.integer({ min: 1, max: 5 }) },
    { noNullPrototype: true },
  )
  fc.assert(
    fc.property(fc.array(claim, { minLength: 1, maxLength: 6 }), fc.nat(), (all, seed) => {
      const settle = (list: typeof all) =>
        list.reduce((known, next) => (overrides(next, known) ? next : known))
      const rng = seededRng(seed)
      const shuffled = all.map((value) => ({ value, at: rng.next() })).sort((a, b) => a.at - b.at)
      assert.deepEqual(settle(all), settle(shuffled.map(({ value }) => value)))
    }),
  )
})

/** Rings of nodes that share nothing but what they believe. */
function ringsOf(members: number) {
  const records = Array.from({ length: members }, () => makeSigned())
  return records.map((own) => {
    const directory = new MemberDirectory()
    const ring = new ProbeRing(directory)
    const numbers = records.map(({ record }) => directory.acquire(record.peerId))
    for (const number of numbers) ring.add(number)
    const self = directory.findPeer(own.record.peerId)!
    const probedIn = (round: number, fits: (member: number) => boolean = () => true) => {
      const member = ring.next(self, round, fits)
      return member === undefined ? undefined : directory.shortIdAt(member)
    }
    return { ring, self, own: own.shortId, probedIn, numbers }
  })
}

test('in each round every member is probed by one other, and nobody by itself', () => {
  for (const members of [2, 3, 50]) {
    const rings = ringsOf(members)
    for (let round = 0; round < 200; round++) {
      const probed = rings.map(({ probedIn }) => probedIn(round))
      assert.equal(new Set(probed).size, members)
      assert.ok(rings.every(({ own }, index) => own !== probed[index]))
    }
  }
})

test('each member is probed by each other one within two passes, whatever the round', () => {
  const [ring] = ringsOf(37)
  for (const first of [0, 11, 2 ** 32 - 20, 2 ** 40 + 3]) {
    const probed = new Set(Array.from({ length: 2 * 64 }, (_, step) => ring!.probedIn(first + step)))
    assert.equal(probed.size, 36)
  }
})

test('who is not to be probed is passed over for the next, and a member that is gone for ever', () => {
  const [ring] = ringsOf(10)
  const only = ring!.numbers.find((number) => number !== ring!.self)!
  for (let round = 0; round < 20; round++)
    assert.equal(
      ring!.probedIn(round, (member) => member === only),
      ring!.probedIn(0, (member) => member === only),
    )
  for (const number of ring!.numbers) if (number !== ring!.self) ring!.ring.remove(number)
  ring!.ring.remove(only)
  assert.equal(ring!.probedIn(0), undefined)
  assert.equal(ring!.ring.size, 1)
})

test('local health stretches time-outs and stays within its bounds', () => {
  const health = new LocalHealth(8)
  health.adjust(-3)
  assert.equal(health.stretch(500), 500)
  health.adjust(100)
  assert.equal(health.stretch(500), 4500)
})

test('the table counts members and live ones through every change', () => {
  const states = fc.array(fc.tuple(fc.nat(40), fc.nat(5)))
  fc.assert(
    fc.property(states, (changes) => {
      const table = new MemberTable()
      const model = new Map<number, number>()
      for (const [index, state] of changes) {
        table.setState(index, state, 0)
        model.set(index, state)
      }
      const values = [...model.values()].filter((state) => state !== 0)
      assert.equal(table.members, values.length)
      assert.equal(table.live, values.filter((state) => state <= 3).length)
      assert.equal([...table.indexes()].length, values.length)
    }),
  )
})

test('the directory gives numbers back when their last use ends', () => {
  const directory = new MemberDirectory()
  const [one, other] = [makeSigned({ name: 'x' }), makeSigned({ name: 'x' })]
  const index = directory.acquire(one.record.peerId)
  assert.equal(directory.acquire(one.record.peerId), index)
  const record = directory.acquireRecord(one)
  assert.deepEqual([...directory.namesakes('x')], [index])
  directory.release(index)
  assert.equal(directory.find(one.shortId), index)
  directory.release(index)
  directory.releaseRecord(record)
  assert.equal(directory.find(one.shortId), undefined)
  assert.equal(directory.findRecord(one.hash), undefined)
  assert.deepEqual([...directory.namesakes('x')], [])
  assert.equal(directory.acquire(other.record.peerId), index)
})
