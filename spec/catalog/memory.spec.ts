import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { findHolders, replicaSize } from '../../lib/catalog/lookups.ts'
import { forgetOrigin, runSteps } from '../../lib/catalog/transition.ts'
import { populate } from '../bench/lookup-population.ts'
import { seededRng } from '../sim/random.ts'

describe('the memory of a replica', () => {
  const rng = seededRng(8)
  const { state, digests, peers } = populate(1000, 1000, rng)

  it('stays within 8 bytes for a pair and 80 for a distinct digest, at 1,000 nodes × 1,000 digests', () => {
    const { sizeBytes, digests: distinct, pairs } = replicaSize(state)
    const forDigests = state.digests.table.sizeBytes
    assert.equal(pairs, 1_000_000)
    assert.equal(distinct, digests.length)
    assert.ok(forDigests / distinct <= 80, `${forDigests / distinct} bytes for a digest`)
    assert.ok((sizeBytes - forDigests) / pairs <= 8, `${(sizeBytes - forDigests) / pairs} bytes for a pair`)
  })

  it('does not grow when nodes are forgotten and come back', () => {
    const before = replicaSize(state).sizeBytes
    const common = digests.find((digest) => findHolders(state, digest, 1, rng).holders > 800)!
    const { holders } = findHolders(state, common, 1, rng)
    for (const peer of peers.slice(0, 100)) {
      const entry = state.origins.get(peer)!
      const ids = [...entry.sets.digests]
      const held = ids.map((id) => {
        const key = new DataView(new ArrayBuffer(32))
        state.digests.table.copyKey(id, key, 0)
        return new Uint8Array(key.buffer)
      })
      runSteps(forgetOrigin(state, entry))
      const again = state.origins.add(peer)!
      state.origins.setLive(again, true)
      const back = held.map((key) => state.digests.table.intern(key))
      for (const id of back) state.digests.postings.add(id, again.index)
      again.sets = { ...again.sets, digests: Uint32Array.from(back) }
    }
    assert.equal(findHolders(state, common, 1, rng).holders, holders)
    assert.ok(replicaSize(state).sizeBytes <= before * 1.02)
  })
})
