import type { Checkpoint } from './checkpoint.ts'
import { emptyIds, type IdSets, missingFrom } from './id-sets.ts'
import type { OriginEntry } from './origin-table.ts'
import { bucketsToKeep, type ReplicaState } from './replica-state.ts'
import type { BucketHashes } from './set-hash.ts'

/** Work that may be long yields after so many elements; whoever drives it decides when to let others run. */
export const stepElements = 128

/** A change of the replica in steps. */
export type Steps<T> = Generator<void, T>

/** Runs all steps at once. */
export function runSteps<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/**
 * Puts new sets in the place of an origin's old ones. The origin holds all elements of `sets` already; what stands only
 * in the old ones is dropped.
 */
export function* exchangeSets(
  state: ReplicaState,
  entry: OriginEntry,
  next: { sets: IdSets; checkpoint: Checkpoint | undefined; buckets: BucketHashes },
): Steps<void> {
  const old = entry.sets
  entry.sets = next.sets
  entry.checkpoint = next.checkpoint
  entry.buckets = bucketsToKeep(next.sets, next.buckets)
  let steps = 0
  for (const kind of ['digests', 'tags'] as const) {
    const index = state[kind]
    for (const id of missingFrom(index.table, old[kind], next.sets[kind])) {
      index.drop(id, entry.index)
      steps += 1
      if (steps % stepElements === 0) yield
    }
  }
}

/**
 * Runs `work` on an origin alone: deltas for it must wait. If the origin is to be forgotten meanwhile, that
 * happens right after.
 */
export function* exclusively<T>(state: ReplicaState, entry: OriginEntry, work: Steps<T>): Steps<T> {
  entry.work = 'changing'
  const result = yield* work
  if (isLeaving(entry)) yield* forgetOrigin(state, entry)
  else entry.work = 'idle'
  return result
}

/** The state of work, which others may have changed between two steps. */
function isLeaving(entry: OriginEntry): boolean {
  return entry.work === 'leaving'
}

/** Frees an origin and all that it holds, unless it comes back before that is done. */
export function* forgetOrigin(state: ReplicaState, entry: OriginEntry): Steps<void> {
  state.origins.setLive(entry, false)
  entry.work = 'leaving'
  const nothing = { digests: emptyIds, tags: emptyIds }
  yield* exchangeSets(state, entry, { sets: nothing, checkpoint: undefined, buckets: new Uint8Array(0) })
  if (isLeaving(entry)) state.origins.remove(entry)
  else entry.work = 'idle'
}
