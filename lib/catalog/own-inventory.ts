import type { Checkpoint } from './checkpoint.ts'
import { type ElementChange, keySizeBytes, tagKey } from './elements.ts'
import { allBuckets, changeIds, hashBuckets, type IdSets, includesId } from './id-sets.ts'
import { bucketsOf, countOf, type ReplicaState } from './replica-state.ts'
import { setHashOf } from './set-hash.ts'
import { exchangeSets, exclusively, type Steps, stepElements } from './transition.ts'

/** Parts of a large change of the own inventory hold at most so many elements: sorting one must stay short. */
export const ownChangePart = 2048

/** Signs what the own inventory will be. */
export type SignOwn = (setHash: Uint8Array, count: number) => Checkpoint

/**
 * Changes what this node offers, in parts of up to `ownChangePart` elements; no element may be named twice. The new
 * inventory and its checkpoint show only when all of it is done.
 */
export function* changeOwn(
  state: ReplicaState,
  parts: Iterable<ElementChange>,
  sign: SignOwn,
): Steps<Checkpoint> {
  return yield* exclusively(state, state.origins.self, changeInParts(state, parts, sign))
}

function* changeInParts(
  state: ReplicaState,
  parts: Iterable<ElementChange>,
  sign: SignOwn,
): Steps<Checkpoint> {
  const { digests, tags, origins } = state
  const entry = origins.self
  let sets: IdSets = entry.sets
  for (const part of parts) {
    const newDigests: number[] = []
    for (let at = 0; at < part.addDigests.length; at += keySizeBytes) {
      const id = digests.table.intern(part.addDigests, at)
      if (includesId(digests.table, sets.digests, id)) continue
      digests.postings.add(id, entry.index)
      newDigests.push(id)
      if (newDigests.length % stepElements === 0) yield
    }
    const newTags: number[] = []
    for (const pair of part.addTags) {
      const id = tags.internPair(pair, tagKey(pair))
      if (includesId(tags.table, sets.tags, id)) continue
      tags.postings.add(id, entry.index)
      newTags.push(id)
      if (newTags.length % stepElements === 0) yield
    }
    sets = {
      digests: changeIds(
        digests.table,
        sets.digests,
        newDigests,
        present(state, 'digests', sets, part.removeDigests),
      ),
      tags: changeIds(tags.table, sets.tags, newTags, present(state, 'tags', sets, part.removeTags)),
    }
    yield
  }
  let buckets = bucketsOf(state, entry)
  for (const bucket of allBuckets) {
    buckets = hashBuckets(state.tables, sets, [bucket], buckets)
    yield
  }
  const checkpoint = sign(setHashOf(buckets), countOf(sets))
  yield* exchangeSets(state, entry, { sets, checkpoint, buckets })
  return checkpoint
}

function present(
  state: ReplicaState,
  kind: 'digests' | 'tags',
  sets: IdSets,
  packed: Uint8Array,
): Set<number> {
  const { table } = state[kind]
  const found = new Set<number>()
  for (let at = 0; at < packed.length; at += keySizeBytes) {
    const id = table.find(packed, at)
    if (id >= 0 && includesId(table, sets[kind], id)) found.add(id)
  }
  return found
}

/** Signs the own inventory anew, unchanged, for a new epoch. */
export function resignOwn(state: ReplicaState, sign: SignOwn): Checkpoint {
  const { self } = state.origins
  self.checkpoint = sign(setHashOf(bucketsOf(state, self)), countOf(self.sets))
  return self.checkpoint
}
