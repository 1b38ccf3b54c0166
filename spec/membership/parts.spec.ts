import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { MemberDirectory } from '../../lib/membership/directory.ts'
import { LocalHealth } from '../../lib/membership/health.ts'
import { ProbeOrder } from '../../lib/membership/probe-order.ts'
import { RumourQueue, retransmitBudget } from '../../lib/membership/rumours.ts'
import { defaultSettings } from '../../lib/membership/settings.ts'
import { overrides } from '../../lib/membership/states.ts'
import { suspicionTimeoutMs } from '../../lib/membership/suspicions.ts'
import { MemberTable } from '../../lib/membership/table.ts'
import { seededRng } from '../sim/random.ts'
import { makeSigned } from './fixtures.ts'

test('a rumour is told as often as its budget and no more, the least told first', () => {
  const queue = new RumourQueue()
  const rumour = (member: number) => ({ member, accuser: undefined, refused: false })
  queue.replace(rumour(1))
  assert.deepEqual(
    queue.take(10, 3).map(({ member }) => member),
    [1],
  )
  queue.replace(rumour(2))
  assert.deepEqual(
    queue.take(1, 3).map(({ member }) => member),
    [2],
  )
  assert.deepEqual(
    queue.take(10, 3).map(({ member }) => member),
    [1, 2],
  )
  assert.deepEqual(
    queue.take(10, 3).map(({ member }) => member),
    [1, 2],
  )
  assert.deepEqual([queue.take(10, 3).length, queue.size], [0, 0])
})

test('newer news of a member replaces the older, and four accusers are told at most', () => {
  const queue = new RumourQueue()
  const accuse = (accuser: string) => ({ member: 1, accuser, refused: false })
  queue.replace(accuse('a'))
  for (const accuser of ['b', 'c', 'd', 'e', 'f']) queue.append(accuse(accuser))
  assert.equal(queue.size, 4)
  queue.replace({ member: 1, accuser: undefined, refused: false })
  assert.equal(queue.size, 1)
  queue.drop(1)
  assert.equal(queue.size, 0)
})

test('budgets grow with the logarithm of the members', () => {
  assert.deepEqual([1, 9, 50, 99, 1000, 9999].map(retransmitBudget), [4, 4, 8, 8, 16, 16])
})

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

test('each member is probed once in a pass, and a new one within the next two', () => {
  const members = new Set(Array.from({ length: 20 }, (_, index) => index))
  const order = new ProbeOrder(seededRng(3))
  const next = () =>
    order.next(
      (member) => members.has(member),
      () => members,
    )
  const pass = () => Array.from({ length: members.size }, next)
  assert.equal(new Set(pass()).size, 20)
  members.add(99)
  order.add(99)
  assert.ok([...pass(), ...pass()].includes(99))
  members.clear()
  assert.equal(next(), undefined)
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
