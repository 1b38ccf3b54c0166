import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { applyDelta } from '../../lib/catalog/apply-delta.ts'
import type { Delta } from '../../lib/catalog/delta.ts'
import { installInventory } from '../../lib/catalog/install.ts'
import { findHolders, findTag, liveDigestCount, liveRepositories } from '../../lib/catalog/lookups.ts'
import { changeOwn } from '../../lib/catalog/own-inventory.ts'
import { planFetch, takeBatch } from '../../lib/catalog/plan-fetch.ts'
import { readInventories } from '../../lib/catalog/read-inventories.ts'
import { createReplicaState, type ReplicaState } from '../../lib/catalog/replica-state.ts'
import { serveFetch } from '../../lib/catalog/serve-fetch.ts'
import { forgetOrigin, runSteps } from '../../lib/catalog/transition.ts'
import { type Digest, digestToBytes } from '../../lib/core/digest.ts'
import { seededRng } from '../sim/random.ts'
import { digestOf, makeIdentity, referenceSetHash, registry, TestOrigin, tagPair } from './support.ts'

const rng = seededRng(3)
const contents = Array.from({ length: 12 }, (_, index) => digestOf(`content ${index}`))
const originCount = 40

/** What the model expects of one origin: what was last proven, as plain sets. */
interface Believed {
  epoch: number
  sequence: number
  digests: Set<Digest>
  tags: Set<string>
  live: boolean
}

const pairText = (pair: { repository: string; tag: string; digest: string }) =>
  `${pair.repository}:${pair.tag}@${pair.digest}`

function believe(origin: TestOrigin, believed: Believed): void {
  believed.epoch = origin.epoch
  believed.sequence = origin.sequence
  believed.digests = origin.digests()
  believed.tags = new Set(origin.pairs().map(pairText))
}

const anyAction = fc.record({
  origin: fc.nat({ max: originCount - 1 }),
  what: fc.constantFrom(
    'deliver',
    'deliver',
    'deliver',
    'deliver',
    'lose',
    'again',
    'late',
    'mask',
    'unmask',
    'restart',
    'fetch',
    'forget',
  ),
  add: fc.array(fc.nat({ max: contents.length - 1 }), { maxLength: 3 }),
  remove: fc.array(fc.nat({ max: contents.length - 1 }), { maxLength: 2 }),
  tag: fc.option(fc.nat({ max: contents.length - 1 })),
})

describe('the replica', () => {
  it('answers like plain maps would, whatever is lost, repeated, late, masked, forgotten or fetched', () => {
    const identities = Array.from({ length: originCount }, (_, index) => makeIdentity(`model ${index}`))
    const self = makeIdentity('self').peerId
    fc.assert(
      fc.property(fc.array(anyAction, { maxLength: 120 }), (actions) => {
        const state = createReplicaState(registry, self, 5)
        const origins = identities.map((identity) => new TestOrigin(identity))
        const model: Believed[] = origins.map(() => ({
          epoch: 0,
          sequence: 0,
          digests: new Set(),
          tags: new Set(),
          live: true,
        }))
        const history: Delta[][] = origins.map(() => [])
        const entryOf = (index: number) => {
          const peer = origins[index]!.peerId
          const known = state.origins.get(peer)
          if (known !== undefined) return known
          const added = state.origins.add(peer)!
          state.origins.setLive(added, model[index]!.live)
          return added
        }
        for (const action of actions) {
          const origin = origins[action.origin]!
          const believed = model[action.origin]!
          const entry = entryOf(action.origin)
          const send = (delta: Delta) => applyDelta(state, entry, delta.checkpoint, delta.change)
          switch (action.what) {
            case 'mask':
            case 'unmask':
              believed.live = action.what === 'unmask'
              state.origins.setLive(entry, believed.live)
              break
            case 'forget':
              runSteps(forgetOrigin(state, entry))
              model[action.origin] = {
                ...believed,
                epoch: 0,
                sequence: 0,
                digests: new Set(),
                tags: new Set(),
              }
              break
            case 'again':
            case 'late': {
              const past = history[action.origin]!
              const delta = past.at(action.what === 'again' ? -1 : 0)
              if (delta !== undefined && delta.checkpoint.sequence <= believed.sequence) {
                if (delta.checkpoint.epoch > believed.epoch) break
                assert.ok(['duplicate', 'reordered', 'replayed', 'older-epoch'].includes(send(delta)))
              }
              break
            }
            case 'fetch':
              if (origin.sequence === 0) break
              runSteps(installInventory(state, entry, origin.checkpoint(), origin.content(), undefined))
              believe(origin, believed)
              break
            default: {
              const delta =
                action.what === 'restart'
                  ? origin.restart()
                  : origin.step({
                      add: action.add.map((index) => contents[index]!),
                      remove: action.remove
                        .filter((index) => !action.add.includes(index))
                        .map((index) => contents[index]!),
                      tag: action.tag === null ? [] : [tagPair('app', 't', contents[action.tag]!)],
                      untag: origin
                        .pairs()
                        .slice(0, 1)
                        .filter(({ digest }) => digest !== contents[action.tag ?? 0]),
                    })
              history[action.origin]!.push(delta)
              if (action.what === 'lose') break
              const outcome = send(delta)
              const follows =
                delta.checkpoint.sequence === 1 ||
                (believed.epoch === origin.epoch && believed.sequence + 1 === origin.sequence)
              if (follows) assert.ok(outcome === 'applied' || outcome === 'adopted', outcome)
              else assert.ok(outcome === 'gap' || outcome === 'adopted', outcome)
              if (outcome !== 'gap') believe(origin, believed)
            }
          }
        }
        check(state, origins, model)
      }),
      { numRuns: 120 },
    )
  })
})

function check(state: ReplicaState, origins: readonly TestOrigin[], model: readonly Believed[]): void {
  let known = 0
  for (const digest of contents) {
    const expected = origins.filter((_, index) => model[index]!.live && model[index]!.digests.has(digest))
    const found = findHolders(state, digest, 1000, rng)
    assert.equal(found.holders, expected.length)
    assert.deepEqual(new Set(found.peers), new Set(expected.map((origin) => origin.peerId)))
    const few = findHolders(state, digest, 3, rng)
    assert.equal(few.peers.length, Math.min(3, expected.length))
    assert.equal(new Set(few.peers).size, few.peers.length)
    if (expected.length > 0) known += 1
  }
  assert.equal(liveDigestCount(state), known)
  const sides = new Map<string, number>()
  for (const { live, tags } of model) {
    for (const text of live ? tags : []) sides.set(text, (sides.get(text) ?? 0) + 1)
  }
  const answer = findTag(state, 'app', 't')
  const told = answer.state === 'unknown' ? [] : answer.state === 'agreed' ? [answer] : answer.sides
  assert.deepEqual(
    new Map(told.map(({ digest, holders }) => [pairText(tagPair('app', 't', digest)), holders])),
    sides,
  )
  assert.deepEqual(liveRepositories(state), sides.size > 0 ? ['app'] : [])
}

describe('an inventory from a neighbour', () => {
  function serverWith(origin: TestOrigin): ReplicaState {
    const state = createReplicaState(registry, makeIdentity().peerId, 1)
    const entry = state.origins.add(origin.peerId)!
    assert.equal(
      runSteps(installInventory(state, entry, origin.checkpoint(), origin.content(), undefined)),
      'installed',
    )
    return state
  }

  /** One reconciliation from `state` with `server`; returns the bytes that were sent. */
  function fetch(state: ReplicaState, server: ReplicaState): number {
    const summaries = [...server.origins.all()].flatMap(({ shortId, checkpoint }) =>
      checkpoint === undefined
        ? []
        : [{ ...checkpoint, shortId, setHashPrefix: checkpoint.setHash.subarray(0, 8) }],
    )
    const queue = [...planFetch(state, summaries, () => true).newer]
    let bytes = 0
    while (queue.length > 0) {
      const frames = [...serveFetch(server, runSteps(takeBatch(state, queue)))]
      for (const frame of frames) {
        assert.ok(frame.length <= 65_536)
        bytes += frame.length
      }
      for (const { shortId, checkpoint, content } of readInventories(frames)) {
        const entry = state.origins.byShortId(shortId)!
        const steps = installInventory(state, entry, checkpoint, content, entry.checkpoint)
        assert.equal(runSteps(steps), 'installed')
      }
    }
    return bytes
  }

  it('is fetched whole at first and then by the buckets that differ', () => {
    const origin = new TestOrigin()
    const many = Array.from({ length: 5000 }, (_, index) => digestOf(`many ${index}`))
    const tags = Array.from({ length: 800 }, (_, index) => tagPair('app', `v${index}`, many[index]!))
    origin.step({ add: many, tag: tags })
    const server = serverWith(origin)
    const state = createReplicaState(registry, makeIdentity().peerId, 2)
    const entry = state.origins.add(origin.peerId)!
    state.origins.setLive(entry, true)
    assert.ok(fetch(state, server) > 5000 * 32)
    assert.equal(findHolders(state, many[77]!, 1, rng).holders, 1)
    assert.equal(findTag(state, 'app', 'v799').state, 'agreed')

    origin.step({ add: [digestOf('one more')], remove: [many[0]!], untag: [tags[0]!] })
    const bytes = fetch(state, serverWith(origin))
    assert.ok(bytes < 5000 * 32 * 0.1, `${bytes} bytes for a small difference`)
    assert.equal(findHolders(state, digestOf('one more'), 1, rng).holders, 1)
    assert.equal(findHolders(state, many[0]!, 1, rng).holders, 0)
    assert.equal(findTag(state, 'app', 'v0').state, 'unknown')
    assert.deepEqual(Buffer.from(entry.checkpoint!.setHash), origin.checkpoint().setHash)
    assert.equal(fetch(state, serverWith(origin)), 0, 'what is known is not sent')
  })

  it('is refused where it is not what its origin signed, and leaves no trace', () => {
    const origin = new TestOrigin()
    origin.step({ add: contents, tag: [tagPair('app', 't', contents[0]!)] })
    const state = createReplicaState(registry, makeIdentity().peerId, 2)
    const entry = state.origins.add(origin.peerId)!
    const content = origin.content()
    const put = (changed: Partial<typeof content>) =>
      runSteps(installInventory(state, entry, origin.checkpoint(), { ...content, ...changed }, undefined))
    assert.equal(put({ digests: content.digests.subarray(32) }), 'wrong-set-hash')
    assert.equal(put({ tags: [] }), 'wrong-set-hash')
    const other = content.digests.slice()
    other[other.length - 1]! ^= 1
    assert.equal(put({ digests: other }), 'wrong-set-hash')
    assert.equal(put({ tags: [tagPair('app', 'u', contents[0]!)] }), 'wrong-set-hash')
    assert.equal(put({ tags: [...content.tags, ...content.tags] }), 'disordered')
    assert.equal(put({ digests: Buffer.concat([content.digests, content.digests]) }), 'disordered')
    assert.equal(put({ buckets: [] }), 'disordered', 'keys outside the buckets that are named')
    assert.equal(state.digests.table.size, 0)
    assert.equal(state.tags.table.size, 0)
    assert.equal(put({}), 'installed')
    assert.equal(put({}), 'stale')
  })

  it('is superseded where a delta has come first', () => {
    const origin = new TestOrigin()
    const state = createReplicaState(registry, makeIdentity().peerId, 2)
    const entry = state.origins.add(origin.peerId)!
    const first = origin.step({ add: [contents[0]!] })
    applyDelta(state, entry, first.checkpoint, first.change)
    const second = origin.step({ add: [contents[1]!] })
    applyDelta(state, entry, second.checkpoint, second.change)
    origin.step({ add: [contents[2]!] })
    const content = { ...origin.content(), buckets: [] }
    assert.equal(
      runSteps(installInventory(state, entry, origin.checkpoint(), content, first.checkpoint)),
      'superseded',
    )
  })

  it('is dropped again where its origin is forgotten while it is put in', () => {
    const origin = new TestOrigin()
    origin.step({ add: Array.from({ length: 1000 }, (_, index) => digestOf(index)) })
    const state = createReplicaState(registry, makeIdentity().peerId, 2)
    const entry = state.origins.add(origin.peerId)!
    const steps = installInventory(state, entry, origin.checkpoint(), origin.content(), undefined)
    for (let step = 0; step < 66; step += 1) steps.next()
    assert.ok(state.digests.table.size > 0)
    entry.work = 'leaving'
    runSteps(steps)
    assert.equal(state.digests.table.size, 0)
    assert.equal(state.origins.get(origin.peerId), undefined)
  })
})

describe('the own inventory', () => {
  it('is changed in parts, and signed over exactly what it then holds', () => {
    const state = createReplicaState(registry, makeIdentity().peerId, 2)
    const twin = new TestOrigin()
    const parts = [
      twin.step({ add: contents.slice(0, 8), tag: [tagPair('app', 't', contents[0]!)] }).change!,
      twin.step({ remove: contents.slice(0, 3), add: contents.slice(8) }).change!,
      twin.step({ add: contents.slice(0, 1), untag: [tagPair('app', 't', contents[0]!)] }).change!,
    ]
    let signed: Uint8Array | undefined
    const sign = (setHash: Uint8Array, count: number) => {
      signed = setHash
      return { epoch: 1, sequence: 1, setHash, count, signature: new Uint8Array(64) }
    }
    const checkpoint = runSteps(changeOwn(state, parts, sign))
    assert.equal(checkpoint.count, twin.elements.size)
    assert.deepEqual(Buffer.from(signed!), referenceSetHash(twin.elements.values()))
    assert.equal(state.digests.table.size, twin.digests().size)
    assert.equal(state.tags.table.size, 0)
    const there = [...twin.digests()].slice(0, 1)
    const away = twin.step({ remove: there })
    const back = twin.step({ add: there })
    runSteps(changeOwn(state, [away.change!, back.change!], sign))
    assert.deepEqual(Buffer.from(signed!), referenceSetHash(twin.elements.values()))
    const id = state.digests.table.find(digestToBytes(there[0]!))
    assert.equal(state.digests.postings.count(id), 1, 'held once')
    const gone = twin.step({ remove: contents })
    runSteps(changeOwn(state, [gone.change!], sign))
    assert.equal(state.digests.table.size, 0)
  })
})
