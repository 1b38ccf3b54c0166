import { type Checkpoint, compareAge, sameBytes } from './checkpoint.ts'
import { changeSize, type ElementChange, keySizeBytes, maxInventoryElements, tagKey } from './elements.ts'
import { changeIds, emptyIds, hashBuckets, type IdSets, includesId } from './id-sets.ts'
import type { OriginEntry } from './origin-table.ts'
import { bucketsToKeep, countOf, type ReplicaState } from './replica-state.ts'
import { allBuckets, bucketOf, setHashOf } from './set-hash.ts'
import { exchangeSets, runSteps } from './transition.ts'

/**
 * What became of a message whose signature is good.
 * - `applied`: it led from the known inventory to the signed one; `adopted`: the set was the same already;
 * - `duplicate`: the sequence that is known; `conflict`: the same, but for another set: its origin contradicts itself;
 * - `reordered`: a little older than what is known; `replayed`: much older; `older-epoch`: from before a restart;
 * - `gap`: something between is missing; `busy`: the inventory is just being exchanged, which counts as a gap;
 * - `wrong-set-hash`: the changes don't lead to the signed set; `oversized`: the inventory would exceed its bound.
 */
export type ApplyOutcome =
  | 'applied'
  | 'adopted'
  | 'duplicate'
  | 'conflict'
  | 'reordered'
  | 'replayed'
  | 'older-epoch'
  | 'gap'
  | 'busy'
  | 'wrong-set-hash'
  | 'oversized'

/** Further behind than this, a message was not delayed but kept. */
const reorderWindow = 64

/** An epoch that begins with a delta replaces what is known at once only up to this size. */
const replaceAtOnce = 4096

/** How a checkpoint stands to what is known, where that already says all. */
function judgeAge(entry: OriginEntry, next: Checkpoint): ApplyOutcome | undefined {
  const known = entry.checkpoint
  if (known === undefined) return undefined
  if (next.epoch < known.epoch) return 'older-epoch'
  if (compareAge(next, known) === 0) return sameBytes(next.setHash, known.setHash) ? 'duplicate' : 'conflict'
  if (compareAge(next, known) < 0) {
    return known.sequence - next.sequence <= reorderWindow ? 'reordered' : 'replayed'
  }
  return undefined
}

/**
 * Applies a message of an origin, signature checked, to its inventory; without a change it is a bare checkpoint. What
 * does not lead to the signed set hash leaves no trace.
 */
export function applyDelta(
  state: ReplicaState,
  entry: OriginEntry,
  next: Checkpoint,
  change: ElementChange | undefined,
): ApplyOutcome {
  const old = judgeAge(entry, next)
  if (old !== undefined) return old
  if (entry.work !== 'idle') return 'busy'
  const known = entry.checkpoint
  if (known !== undefined && known.count === next.count && sameBytes(known.setHash, next.setHash)) {
    entry.checkpoint = next
    return 'adopted'
  }
  if (change === undefined) return 'gap'
  const continues = known?.epoch === next.epoch && known.sequence + 1 === next.sequence
  const begins = next.sequence === 1 && countOf(entry.sets) <= replaceAtOnce
  if (!continues && !begins) return 'gap'
  if (next.count > maxInventoryElements || changeSize(change) > maxInventoryElements) return 'oversized'
  return applyChange(state, entry, next, change, continues)
}

function applyChange(
  state: ReplicaState,
  entry: OriginEntry,
  next: Checkpoint,
  change: ElementChange,
  continues: boolean,
): ApplyOutcome {
  const base: IdSets = continues ? entry.sets : { digests: emptyIds, tags: emptyIds }
  const { digests, tags } = state
  const addedDigests = new Set<number>()
  for (let at = 0; at < change.addDigests.length; at += keySizeBytes) {
    const id = digests.table.intern(change.addDigests, at)
    if (!includesId(digests.table, base.digests, id)) addedDigests.add(id)
  }
  const addedTags = new Set<number>()
  for (const pair of change.addTags) {
    const id = tags.internPair(pair, tagKey(pair))
    if (!includesId(tags.table, base.tags, id)) addedTags.add(id)
  }
  const removedDigests = findAll(state, 'digests', base, change.removeDigests)
  const removedTags = findAll(state, 'tags', base, change.removeTags)
  const sets = {
    digests: changeIds(digests.table, base.digests, [...addedDigests], removedDigests),
    tags: changeIds(tags.table, base.tags, [...addedTags], removedTags),
  }
  const touched = new Set<number>()
  for (const id of [...addedDigests, ...removedDigests]) touched.add(bucketOf(digests.table.prefix(id)))
  for (const id of [...addedTags, ...removedTags]) touched.add(bucketOf(tags.table.prefix(id)))
  const cached = continues ? entry.buckets : undefined
  const buckets = hashBuckets(state.tables, sets, cached === undefined ? allBuckets : touched, cached)
  if (countOf(sets) !== next.count || !sameBytes(setHashOf(buckets), next.setHash)) {
    for (const id of addedDigests) digests.freeUnheld(id)
    for (const id of addedTags) tags.freeUnheld(id)
    return 'wrong-set-hash'
  }
  for (const kind of ['digests', 'tags'] as const) {
    for (const id of kind === 'digests' ? addedDigests : addedTags) {
      if (continues || !includesId(state[kind].table, entry.sets[kind], id)) {
        state[kind].postings.add(id, entry.index)
      }
    }
  }
  if (continues) {
    entry.sets = sets
    entry.checkpoint = next
    entry.buckets = bucketsToKeep(sets, buckets)
    for (const id of removedDigests) digests.drop(id, entry.index)
    for (const id of removedTags) tags.drop(id, entry.index)
  } else {
    runSteps(exchangeSets(state, entry, { sets, checkpoint: next, buckets }))
  }
  return 'applied'
}

/** The elements of a base that packed keys name. */
export function findAll(
  state: ReplicaState,
  kind: 'digests' | 'tags',
  base: IdSets,
  packed: Uint8Array,
): Set<number> {
  const { table } = state[kind]
  const found = new Set<number>()
  for (let at = 0; at < packed.length; at += keySizeBytes) {
    const id = table.find(packed, at)
    if (id >= 0 && includesId(table, base[kind], id)) found.add(id)
  }
  return found
}
