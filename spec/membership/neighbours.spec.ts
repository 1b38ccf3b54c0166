import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PeerId } from '../../lib/core/peer-id.ts'
import {
  defaultNeighbourBounds,
  type NeighbourCandidate,
  planNeighbours,
} from '../../lib/membership/neighbours.ts'
import { seededRng } from '../sim/random.ts'

const peer = (index: number) => `peer-${index}` as PeerId
const flock = (count: number, registries: (index: number) => string[] | undefined = () => ['docker.io']) =>
  Array.from(
    { length: count },
    (_, index): NeighbourCandidate => ({ peerId: peer(index), registries: registries(index) }),
  )
const first = (count: number) => new Set(Array.from({ length: count }, (_, index) => peer(index)))
const plan = (
  candidates: readonly NeighbourCandidate[],
  connected: ReadonlySet<PeerId>,
  registries = ['docker.io'],
) =>
  planNeighbours(candidates, connected, registries, seededRng(5), {
    ...defaultNeighbourBounds,
    maxDials: 100,
  })

const table: readonly { what: string; members: number; connected: number; dial: number; drop: number }[] = [
  { what: 'alone', members: 0, connected: 0, dial: 0, drop: 0 },
  { what: 'few members: all of them', members: 5, connected: 0, dial: 5, drop: 0 },
  { what: 'many members: twelve', members: 100, connected: 0, dial: 12, drop: 0 },
  { what: 'some connected: up to twelve', members: 100, connected: 7, dial: 5, drop: 0 },
  { what: 'twelve: nothing', members: 100, connected: 12, dial: 0, drop: 0 },
  { what: 'twenty-four: nothing', members: 100, connected: 24, dial: 0, drop: 0 },
  { what: 'too many: back to twenty-four', members: 100, connected: 60, dial: 0, drop: 36 },
]

for (const { what, members, connected, dial, drop } of table) {
  test(`neighbours, ${what}`, () => {
    const result = plan(flock(members), first(connected))
    assert.deepEqual([result.dial.length, result.drop.length], [dial, drop])
  })
}

test('five mirrors of a rare registry among a thousand find one another, also when there are neighbours enough', () => {
  const candidates = flock(1000, (index) => (index >= 995 ? ['rare.io'] : ['docker.io']))
  const result = plan(candidates, first(20), ['docker.io', 'rare.io'])
  assert.deepEqual([...result.dial].sort(), [995, 996, 997, 998, 999].map(peer))
})

test('mirrors of a registry that are needed are never dropped', () => {
  const candidates = flock(60, (index) => (index < 4 ? ['rare.io'] : ['docker.io']))
  for (let seed = 0; seed < 20; seed++) {
    const { drop } = planNeighbours(candidates, first(60), ['docker.io', 'rare.io'], seededRng(seed))
    assert.equal(drop.length, 36)
    assert.ok(drop.every((peerId) => ![0, 1, 2, 3].map(peer).includes(peerId)))
  }
})

test('members whose registries are unknown count towards the twelve only', () => {
  const result = plan(
    flock(50, () => undefined),
    first(0),
  )
  assert.equal(result.dial.length, 12)
})

test('one plan dials few, and the plans that follow reach the goal and then rest', () => {
  const candidates = flock(200)
  const connected = new Set<PeerId>()
  const rng = seededRng(9)
  for (let round = 0; round < 6; round++) {
    const { dial } = planNeighbours(candidates, connected, ['docker.io'], rng)
    assert.equal(dial.length, 2)
    for (const peerId of dial) connected.add(peerId)
  }
  assert.deepEqual(planNeighbours(candidates, connected, ['docker.io'], rng), { dial: [], drop: [] })
})
