import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { waysToBeWhole } from '../../lib/catalog/image-ways.ts'
import { holdersOfAny, soleDigests } from '../../lib/catalog/questions.ts'
import { createReplicaState } from '../../lib/catalog/replica-state.ts'
import type { StoreBlob } from '../../lib/core/content-store.ts'
import { type Digest, digestToBytes } from '../../lib/core/digest.ts'
import { digestOf, makeIdentity, registry } from './support.ts'

const self = makeIdentity('self').peerId
const peers = Array.from({ length: 70 }, (_, index) => makeIdentity(`peer ${index}`).peerId)
const digests = Array.from({ length: 12 }, (_, index) => digestOf(index)).sort()

/** A replica in which `held[i]` lists the digests of peer i, and the peers in `gone` are not live. */
function replicaOf(held: readonly (readonly number[])[], gone: ReadonlySet<number>) {
  const state = createReplicaState(registry, self, 3)
  held.forEach((numbers, index) => {
    const entry = state.origins.add(peers[index]!)!
    state.origins.setLive(entry, !gone.has(index))
    const ids = [...new Set(numbers)].map((number) => {
      const id = state.digests.table.intern(digestToBytes(digests[number]!))
      state.digests.postings.add(id, entry.index)
      return id
    })
    ids.sort((a, b) => state.digests.table.compare(a, b))
    entry.sets = { ...entry.sets, digests: Uint32Array.from(ids) }
  })
  return state
}

const number = fc.nat({ max: digests.length - 1 })
const cluster = fc.record({
  held: fc.array(fc.array(number, { maxLength: 12 }), { minLength: 1, maxLength: peers.length }),
  gone: fc.uniqueArray(fc.nat({ max: peers.length - 1 })).map((gone) => new Set(gone)),
})

describe('questions about all inventories', () => {
  it('who has all of at least one way is the plain intersection and union over live nodes', () => {
    const ways = fc.array(fc.array(number, { minLength: 1, maxLength: 4 }), { maxLength: 3 })
    fc.assert(
      fc.property(cluster, ways, ({ held, gone }, wanted) => {
        const expected = held.flatMap((numbers, index) =>
          !gone.has(index) && wanted.some((way) => way.every((each) => numbers.includes(each)))
            ? [peers[index]!]
            : [],
        )
        const asked = wanted.map((way) => way.map((each) => digests[each]!))
        assert.deepEqual(holdersOfAny(replicaOf(held, gone), asked), expected)
      }),
    )
  })

  it('what one node alone holds is what no other live node has', () => {
    fc.assert(
      fc.property(cluster, ({ held, gone }) => {
        const state = replicaOf(held, gone)
        const expected = digests.filter(
          (_, each) =>
            held[0]!.includes(each) &&
            !held.some((other, index) => index > 0 && !gone.has(index) && other.includes(each)),
        )
        assert.deepEqual([...soleDigests(state, peers[0]!)], expected)
      }),
    )
  })
})

describe('the ways in which an image is whole', () => {
  const [index, amd64, arm64, config, layer] = ['index', 'amd64', 'arm64', 'config', 'layer'].map(
    digestOf,
  ) as [Digest, Digest, Digest, Digest, Digest]
  const blob = (digest: Digest, children?: readonly Digest[]): StoreBlob => ({
    digest,
    sizeBytes: 1,
    sources: [],
    children,
  })
  const finder = (...blobs: readonly StoreBlob[]) => {
    const all = new Map(blobs.map((each) => [each.digest, each]))
    return (digest: Digest) => all.get(digest)
  }

  it('of a manifest: all that it names, present here or not', () => {
    const find = finder(blob(amd64, [config, layer]), blob(config))
    assert.deepEqual(waysToBeWhole(amd64, find), [[amd64, config, layer]])
  })

  it('of an index: one for each manifest that this node has', () => {
    const find = finder(blob(index, [amd64, arm64]), blob(amd64, [config, layer]), blob(config))
    assert.deepEqual(waysToBeWhole(index, find), [[index, amd64, config, layer]])
  })

  it('cannot be told without the manifest, or with an index of other platforms alone', () => {
    assert.equal(waysToBeWhole(amd64, finder()), undefined)
    assert.equal(waysToBeWhole(index, finder(blob(index, [arm64]))), undefined)
  })

  it('are bounded for an index that names itself', () => {
    assert.equal(waysToBeWhole(index, finder(blob(index, [index]))), undefined)
  })
})
