import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Rumour, RumourQueue, retransmitBudget } from '../../lib/membership/rumours.ts'

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

/** What the queue promises, said with one list: stable order, every operation looks at all. */
class PlainRumours {
  told: { rumour: Rumour; level: number }[] = []

  replace(rumour: Rumour): void {
    this.drop(rumour.member)
    this.told.push({ rumour, level: 0 })
  }

  append(rumour: Rumour): void {
    const about = this.told.filter((one) => one.rumour.member === rumour.member)
    const isTold = about.some((one) => one.rumour.accuser === rumour.accuser && one.rumour.refused)
    if (about.length < 4 && !isTold) this.told.push({ rumour, level: 0 })
  }

  drop(member: number): void {
    this.told = this.told.filter(({ rumour }) => rumour.member !== member)
  }

  take(limit: number, budget: number): Rumour[] {
    const taken = [...this.told].sort((one, other) => one.level - other.level).slice(0, limit)
    const rest = this.told.filter((one) => !taken.includes(one))
    const again = taken.map(({ rumour, level }) => ({ rumour, level: level + 1 }))
    this.told = [...rest, ...again.filter(({ level }) => level < budget)]
    return taken.map(({ rumour }) => rumour)
  }
}

test('whatever happens, rumours come out in the order that a plain list gives them', () => {
  const rumour = fc.record(
    { member: fc.nat(4), accuser: fc.constantFrom('a', 'b', 'c', 'd', 'e'), refused: fc.boolean() },
    { noNullPrototype: true },
  )
  const step = fc.oneof(
    fc.tuple(fc.constant('replace' as const), rumour),
    fc.tuple(fc.constant('append' as const), rumour),
    fc.tuple(fc.constant('drop' as const), rumour),
    fc.tuple(fc.constant('take' as const), fc.integer({ min: 1, max: 6 })),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const [queue, plain] = [new RumourQueue(), new PlainRumours()]
      for (const one of steps) {
        if (one[0] === 'take') {
          const taken = queue.take(one[1], 3)
          const told = taken.map(({ member, accuser, refused }) => ({ member, accuser, refused }))
          assert.deepEqual(told, plain.take(one[1], 3))
        } else if (one[0] === 'drop') {
          for (const each of [queue, plain]) each.drop(one[1].member)
        } else for (const each of [queue, plain]) each[one[0]](one[1])
        assert.equal(queue.size, plain.told.length)
      }
    }),
  )
})
