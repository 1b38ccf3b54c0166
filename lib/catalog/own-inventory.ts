import { findAll } from './apply-delta.ts'
import type { Checkpoint } from './checkpoint.ts'
import { type ElementChange, keySizeBytes, tagKey } from './elements.ts'
import { changeIds, hashBuckets, type IdSets, includesId } from './id-sets.ts'
import { bucketsOf, countOf, type ReplicaState } from './replica-state.ts'
import { allBuckets, setHashOf } from './set-hash.ts'
import { exchangeSets, exclusively, type Steps, stepElements } from './transition.ts'

/** Parts of a large change of the own inventory hold at most so many elements: sorting one must stay short. */
export const ownChangePart = 1024

/** Signs what the own inventory will be. */
export type SignOwn = (setHash: Uint8Array, count: number) => Checkpoint

/**
 * Changes what this node offers, in parts of up to `ownChangePart` elements, none of which names an element twice. The new
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
    const newDigests = yield* hold(
      state,
      'digests',
      sets,
      internEach(part.addDigests, (at) => digests.table.intern(part.addDigests, at)),
    )
    const newTags = yield* hold(
      state,
      'tags',
      sets,
      part.addTags.values().map((pair) => tags.internPair(pair, tagKey(pair))),
    )
    const goneDigests = findAll(state, 'digests', sets, part.removeDigests)
    const goneTags = findAll(state, 'tags', sets, part.removeTags)
    sets = {
      digests: changeIds(digests.table, sets.digests, newDigests, goneDigests),
      tags: changeIds(tags.table, sets.tags, newTags, goneTags),
    }
    letGo(state, 'digests', goneDigests)
    letGo(state, 'tags', goneTags)
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

function* internEach(packed: Uint8Array, intern: (at: number) => number): Generator<number> {
  for (let at = 0; at < packed.length; at += keySizeBytes) yield intern(at)
}

/** Makes this node a holder of those elements that `sets` lacks, and returns them. */
function* hold(
  state: ReplicaState,
  kind: 'digests' | 'tags',
  sets: IdSets,
  ids: Iterable<number>,
): Steps<number[]> {
  const { table, postings } = state[kind]
  const { self } = state.origins
  const added: number[] = []
  for (const id of ids) {
    if (includesId(table, sets[kind], id)) continue
    // What an earlier part took away is held until the sets are exchanged.
    if (!includesId(table, self.sets[kind], id)) postings.add(id, self.index)
    added.push(id)
    if (added.length % stepElements === 0) yield
  }
  return added
}

/** Lets go what an earlier part of the same change had brought; the rest goes when the sets are exchanged. */
function letGo(state: ReplicaState, kind: 'digests' | 'tags', ids: Iterable<number>): void {
  const { self } = state.origins
  for (const id of ids) {
    if (!includesId(state[kind].table, self.sets[kind], id)) state[kind].drop(id, self.index)
  }
}

/** Signs the own inventory anew, unchanged, for a new epoch. */
export function resignOwn(state: ReplicaState, sign: SignOwn): Checkpoint {
  const { self } = state.origins
  self.checkpoint = sign(setHashOf(bucketsOf(state, self)), countOf(self.sets))
  return self.checkpoint
}
