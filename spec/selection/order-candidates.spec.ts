import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { TransferReport } from '../../lib/core/lookup.ts'
import type { PeerId } from '../../lib/core/peer-id.ts'
import { CandidateOrder } from '../../lib/selection/candidate-order.ts'
import { type Holder, orderCandidates } from '../../lib/selection/order-candidates.ts'
import { PeerScores } from '../../lib/selection/peer-scores.ts'

function holder(name: string, zone = 'a'): Holder {
  return { record: { peerId: name as PeerId, zone } }
}

function names(holders: readonly Holder[]): string[] {
  return holders.map(({ record }) => record.peerId)
}

function fail(scores: PeerScores, name: string, outcome: TransferReport['outcome'], nowMs: number): void {
  const peerId = name as PeerId
  scores.started(peerId)
  scores.finished({ peerId, outcome, bytes: 0, firstByteMs: undefined, durationMs: 1 }, nowMs)
}

interface Row {
  readonly says: string
  readonly holders: readonly Holder[]
  readonly prepare?: (scores: PeerScores) => void
  readonly limit?: number
  readonly order: readonly string[]
}

const rows: readonly Row[] = [
  { says: 'nobody is ordered as nobody', holders: [], order: [] },
  {
    says: 'the own zone comes before others',
    holders: [holder('far', 'b'), holder('near', 'a')],
    order: ['near', 'far'],
  },
  {
    says: 'the one with fewer transfers in flight comes first',
    holders: [holder('busy'), holder('free')],
    prepare: (scores) => scores.started('busy' as PeerId),
    order: ['free', 'busy'],
  },
  {
    says: 'a busy one of the own zone still comes before a free one elsewhere',
    holders: [holder('free', 'b'), holder('busy')],
    prepare: (scores) => scores.started('busy' as PeerId),
    order: ['busy', 'free'],
  },
  {
    says: 'with equal load the one that failed before comes later',
    holders: [holder('shaky'), holder('solid')],
    prepare: (scores) => fail(scores, 'shaky', 'stalled', 0),
    order: ['solid', 'shaky'],
  },
  {
    says: 'those that rest come last, the soonest ready first',
    holders: [holder('later'), holder('sooner'), holder('far', 'b')],
    prepare: (scores) => {
      fail(scores, 'later', 'stalled', 9900)
      fail(scores, 'sooner', 'stalled', 9800)
    },
    order: ['far', 'sooner', 'later'],
  },
  {
    says: 'no more than the limit are named',
    holders: [holder('far', 'b'), holder('near')],
    limit: 1,
    order: ['near'],
  },
]

for (const { says, holders, prepare, limit = 8, order } of rows) {
  test(says, () => {
    const scores = new PeerScores()
    prepare?.(scores)
    let seed = 0
    const rng = { next: () => (seed = (seed + 0.37) % 1) }
    const found = orderCandidates(holders, { zone: 'a', scores, nowMs: 10_000, rng, limit })
    assert.deepEqual(names(found), order)
  })
}

test('every ready holder is named exactly once, whatever chance says', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { maxLength: 12 }),
      fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 1, maxLength: 40 }),
      (ids, chances) => {
        let draws = 0
        const rng = { next: () => chances[draws++ % chances.length] ?? 0 }
        const holders = ids.map((id, index) => holder(id, index % 2 === 0 ? 'a' : 'b'))
        const found = orderCandidates(holders, {
          zone: 'a',
          scores: new PeerScores(),
          nowMs: 0,
          rng,
          limit: 100,
        })
        assert.deepEqual(names(found).sort(), [...ids].sort())
      },
    ),
  )
})

test('requests spread over equal holders, and follow what transfers have shown', () => {
  let seed = 1
  const rng = {
    next: () => {
      seed = (seed * 48_271) % 2_147_483_647
      return seed / 2_147_483_647
    },
  }
  const order = new CandidateOrder({ zone: 'a', clock: { monotonicMs: () => 0, wallMs: () => 0 }, rng })
  const holders = ['one', 'two', 'three', 'four'].map((name) => holder(name))
  const load = new Map<string, number>()
  for (let request = 0; request < 400; request++) {
    const [first] = order.order(holders)
    const peerId = (first as Holder).record.peerId
    order.started(peerId)
    load.set(peerId, (load.get(peerId) ?? 0) + 1)
  }
  for (const count of load.values()) assert.ok(count >= 90 && count <= 110, `${count} of 400`)
  order.learn({ peerId: 'one' as PeerId, outcome: 'stalled', bytes: 0, firstByteMs: 1, durationMs: 1 })
  assert.equal(names(order.order(holders)).at(-1), 'one')
})
