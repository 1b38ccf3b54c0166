import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { gossipFanout, RumourQueue, retransmitBudget } from '../../lib/membership/rumours.ts'
import { defaultSettings } from '../../lib/membership/settings.ts'

/** Lets so many into a packet. */
function upTo(limit: number): () => boolean {
  let left = limit
  return () => left-- > 0
}

test('a rumour is told as often as its budget and no more, the least told first', () => {
  const queue = new RumourQueue()
  queue.add(1)
  assert.deepEqual(queue.take(upTo(10), 3), [1])
  queue.add(2)
  assert.deepEqual(queue.take(upTo(1), 3), [2])
  assert.deepEqual(queue.take(upTo(10), 3), [1, 2])
  assert.deepEqual(queue.take(upTo(10), 3), [1, 2])
  assert.deepEqual([queue.take(upTo(10), 3).length, queue.size], [0, 0])
})

test('news of a member that is told already begins anew, and takes no second place', () => {
  const queue = new RumourQueue()
  for (const member of [1, 2, 1]) queue.add(member)
  assert.equal(queue.size, 2)
  assert.deepEqual(queue.take(upTo(2), 2), [2, 1])
  queue.add(1)
  assert.deepEqual([queue.take(upTo(3), 2), queue.take(upTo(3), 2)], [[1, 2], [1]])
  queue.add(3)
  queue.drop(3)
  assert.equal(queue.size, 0)
})

test('budgets grow with the logarithm of the members', () => {
  assert.deepEqual([1, 9, 50, 99, 1000, 9999].map(retransmitBudget), [4, 4, 8, 8, 16, 16])
})

test('a backlog is told to more members at once, up to a bound', () => {
  const fanouts = [0, 1, 192, 256, 1000, 10_000].map((waiting) => gossipFanout(waiting, defaultSettings))
  assert.deepEqual(fanouts, [3, 3, 3, 4, 16, 24])
})

/** What the queue promises, said with one list: stable order, every operation looks at all. */
class PlainRumours {
  told: { member: number; level: number }[] = []

  add(member: number): void {
    this.drop(member)
    this.told.push({ member, level: 0 })
  }

  drop(member: number): void {
    this.told = this.told.filter((one) => one.member !== member)
  }

  take(fits: () => boolean, budget: number): number[] {
    const taken: typeof this.told = []
    for (const one of [...this.told].sort((first, second) => first.level - second.level)) {
      if (!fits()) break
      taken.push(one)
    }
    const rest = this.told.filter((one) => !taken.includes(one))
    const again = taken.map(({ member, level }) => ({ member, level: level + 1 }))
    this.told = [...rest, ...again.filter(({ level }) => level < budget)]
    return taken.map(({ member }) => member)
  }
}

test('whatever happens, rumours come out in the order that a plain list gives them', () => {
  const step = fc.oneof(
    fc.tuple(fc.constant('add' as const), fc.nat(6)),
    fc.tuple(fc.constant('drop' as const), fc.nat(6)),
    fc.tuple(fc.constant('take' as const), fc.integer({ min: 1, max: 6 })),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const [queue, plain] = [new RumourQueue(), new PlainRumours()]
      for (const [what, value] of steps) {
        if (what === 'take') assert.deepEqual(queue.take(upTo(value), 3), plain.take(upTo(value), 3))
        else for (const each of [queue, plain]) each[what](value)
        assert.equal(queue.size, plain.told.length)
      }
    }),
  )
})
