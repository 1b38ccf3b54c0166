import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type ApplyOutcome, applyDelta } from '../../lib/catalog/apply-delta.ts'
import type { Delta } from '../../lib/catalog/delta.ts'
import { packKeys, tagKey } from '../../lib/catalog/elements.ts'
import { installInventory } from '../../lib/catalog/install.ts'
import { announcesTag, findHolders, findTag, holdsDigest } from '../../lib/catalog/lookups.ts'
import { createReplicaState, type ReplicaState } from '../../lib/catalog/replica-state.ts'
import { forgetOrigin, runSteps } from '../../lib/catalog/transition.ts'
import { digestFromBytes, digestToBytes } from '../../lib/core/digest.ts'
import { seededRng } from '../sim/random.ts'
import { digestOf, makeIdentity, registry, TestOrigin, tagPair } from './support.ts'

const rng = seededRng(1)

function setUp(): { state: ReplicaState; origin: TestOrigin; apply: (delta: Delta) => ApplyOutcome } {
  const state = createReplicaState(registry, makeIdentity().peerId, 7)
  const origin = new TestOrigin()
  const entry = state.origins.add(origin.peerId)!
  state.origins.setLive(entry, true)
  return {
    state,
    origin,
    apply: (delta) => applyDelta(state, entry, delta.checkpoint, delta.change),
  }
}

const [a, b, c] = [digestOf('a'), digestOf('b'), digestOf('c')]

describe('what becomes of a delta', () => {
  it('the first delta of an origin is applied, and the next one on top of it', () => {
    const { state, origin, apply } = setUp()
    assert.equal(apply(origin.step({ add: [a, b], tag: [tagPair('app', '1', a)] })), 'applied')
    assert.equal(apply(origin.step({ add: [c], remove: [b] })), 'applied')
    assert.deepEqual(findHolders(state, a, 3, rng), { holders: 1, peers: [origin.peerId] })
    assert.equal(findHolders(state, b, 3, rng).holders, 0)
    assert.equal(findHolders(state, c, 3, rng).holders, 1)
    assert.deepEqual(findTag(state, 'app', '1'), { state: 'agreed', digest: a, holders: 1 })
  })

  it('a missing sequence is a gap and changes nothing', () => {
    const { state, origin, apply } = setUp()
    apply(origin.step({ add: [a] }))
    origin.step({ add: [b] })
    assert.equal(apply(origin.step({ add: [c] })), 'gap')
    assert.equal(findHolders(state, c, 3, rng).holders, 0)
    assert.equal(findHolders(state, a, 3, rng).holders, 1)
  })

  it('an origin that is first heard of in the middle is a gap', () => {
    const { origin, apply } = setUp()
    origin.step({ add: [a] })
    assert.equal(apply(origin.step({ add: [b] })), 'gap')
  })

  it('the same message again is a duplicate, one a little older is reordered, one much older replayed', () => {
    const { origin, apply } = setUp()
    const first = origin.step({ add: [a] })
    apply(first)
    assert.equal(apply(first), 'duplicate')
    apply(origin.step({ add: [b] }))
    assert.equal(apply(first), 'reordered')
    for (let step = 0; step < 80; step += 1) apply(origin.step({ add: [digestOf(step)] }))
    assert.equal(apply(first), 'replayed')
  })

  it('an origin that signs two sets for one sequence is in conflict with itself', () => {
    const { origin, apply } = setUp()
    const twin = new TestOrigin(origin.identity)
    apply(origin.step({ add: [a] }))
    assert.equal(apply(twin.step({ add: [b] })), 'conflict')
  })

  it('what belongs to an epoch before a restart is older, whatever its sequence', () => {
    const { origin, apply } = setUp()
    apply(origin.step({ add: [a] }))
    const late = origin.step({ add: [b] })
    apply(late)
    assert.equal(apply(origin.restart()), 'adopted')
    assert.equal(apply(late), 'older-epoch')
  })

  it('a restart that begins with other content replaces what was known', () => {
    const { state, origin, apply } = setUp()
    apply(origin.step({ add: [a, b], tag: [tagPair('app', '1', a)] }))
    origin.elements.clear()
    origin.epoch += 1
    origin.sequence = 0
    assert.equal(apply(origin.step({ add: [b, c], tag: [tagPair('app', '1', c)] })), 'applied')
    assert.equal(findHolders(state, a, 3, rng).holders, 0)
    assert.equal(findHolders(state, b, 3, rng).holders, 1)
    assert.deepEqual(findTag(state, 'app', '1'), { state: 'agreed', digest: c, holders: 1 })
  })

  it('a bare checkpoint is adopted where the set is the same, and a gap where it is not', () => {
    const { origin, apply } = setUp()
    assert.equal(apply(origin.step({ add: [a] })), 'applied')
    origin.epoch += 1
    origin.sequence = 1
    assert.equal(apply(origin.bare()), 'adopted')
    origin.step({ add: [b] })
    assert.equal(apply(origin.bare()), 'gap')
  })

  it('changes that do not lead to the signed set leave no trace', () => {
    const { state, origin, apply } = setUp()
    apply(origin.step({ add: [a] }))
    const delta = origin.step({ add: [b] })
    const forged = {
      ...delta,
      change: {
        addDigests: packKeys([digestToBytes(c)]),
        removeDigests: packKeys([digestToBytes(a)]),
        addTags: [tagPair('app', 'evil', c)],
        removeTags: new Uint8Array(0),
      },
    }
    const before = state.digests.table.size
    assert.equal(apply(forged), 'wrong-set-hash')
    assert.equal(state.digests.table.size, before)
    assert.equal(state.tags.table.size, 0)
    assert.equal(findHolders(state, a, 3, rng).holders, 1)
    assert.deepEqual(findTag(state, 'app', 'evil'), { state: 'unknown' })
    assert.equal(apply(delta), 'applied', 'the true one is still welcome')
  })

  it('a digest whose bytes are the key of a pair does not pass for that pair', () => {
    const { origin, apply } = setUp()
    const pair = tagPair('app', 'evil', c)
    const asDigest = digestFromBytes(tagKey(pair))
    const delta = origin.step({ add: [asDigest] })
    const none = new Uint8Array(0)
    const forged = {
      ...delta,
      change: { addDigests: none, removeDigests: none, addTags: [pair], removeTags: none },
    }
    assert.equal(apply(forged), 'wrong-set-hash')
  })

  it('a delta waits while the inventory is being exchanged', () => {
    const { state, origin, apply } = setUp()
    origin.step({ add: [a] })
    const entry = state.origins.get(origin.peerId)!
    const steps = installInventory(state, entry, origin.checkpoint(), origin.content(), undefined)
    steps.next()
    assert.equal(apply(origin.step({ add: [b] })), 'busy')
    assert.equal(runSteps(steps), 'installed')
  })

  it('a claim of more elements than an inventory may have is oversized', () => {
    const { origin, apply } = setUp()
    const delta = origin.step({ add: [a] })
    assert.equal(
      apply({ ...delta, checkpoint: { ...delta.checkpoint, count: 300_000, setHash: new Uint8Array(32) } }),
      'oversized',
    )
  })
})

describe('whose holdings count', () => {
  it('a masked origin is no holder, and is one again without a transfer', () => {
    const { state, origin, apply } = setUp()
    apply(origin.step({ add: [a], tag: [tagPair('app', '1', a)] }))
    const entry = state.origins.get(origin.peerId)!
    state.origins.setLive(entry, false)
    assert.equal(findHolders(state, a, 3, rng).holders, 0)
    assert.deepEqual(findTag(state, 'app', '1'), { state: 'unknown' })
    assert.ok(holdsDigest(state, origin.peerId, a))
    assert.ok(announcesTag(state, origin.peerId, tagPair('app', '1', a)))
    state.origins.setLive(entry, true)
    assert.equal(findHolders(state, a, 3, rng).holders, 1)
  })

  it('a forgotten origin frees all that nobody else holds', () => {
    const { state, origin, apply } = setUp()
    const other = new TestOrigin()
    const entry = state.origins.add(other.peerId)!
    state.origins.setLive(entry, true)
    const delta = other.step({ add: [a, b] })
    applyDelta(state, entry, delta.checkpoint, delta.change)
    apply(origin.step({ add: [a], tag: [tagPair('app', '1', a)] }))
    runSteps(forgetOrigin(state, entry))
    assert.equal(state.origins.get(other.peerId), undefined)
    assert.equal(state.digests.table.size, 1)
    assert.deepEqual(findHolders(state, a, 3, rng), { holders: 1, peers: [origin.peerId] })
  })

  it('a tag on which live origins disagree is disputed, with the larger side first', () => {
    const { state, origin, apply } = setUp()
    apply(origin.step({ add: [a], tag: [tagPair('app', '1', a)] }))
    for (let index = 0; index < 2; index += 1) {
      const other = new TestOrigin()
      const entry = state.origins.add(other.peerId)!
      state.origins.setLive(entry, true)
      const delta = other.step({ add: [b], tag: [tagPair('app', '1', b)] })
      assert.equal(applyDelta(state, entry, delta.checkpoint, delta.change), 'applied')
    }
    assert.deepEqual(findTag(state, 'app', '1'), {
      state: 'disputed',
      sides: [
        { digest: b, holders: 2 },
        { digest: a, holders: 1 },
      ],
    })
    state.origins.setLive(state.origins.get(origin.peerId)!, false)
    assert.deepEqual(findTag(state, 'app', '1'), { state: 'agreed', digest: b, holders: 2 })
  })
})
