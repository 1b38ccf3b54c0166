import { compareAge, sameBytes } from './checkpoint.ts'
import { bucketsOf, countOf, type ReplicaState } from './replica-state.ts'
import { shortBucketHashes } from './set-hash.ts'
import { type OriginSummary, setHashPrefixBytes } from './sync-answer.ts'
import { maxWants, type Want } from './sync-request.ts'
import type { Steps } from './transition.ts'

/** A request asks for about so many bytes; only a single inventory may be larger. */
const batchBytes = 2 ** 20
/** On average, tags included. */
const elementBytes = 40
/** Below this many elements the hashes of buckets cost more than they save. */
const compareBucketsFrom = 256
/** What is expected of an inventory that is asked for by buckets. */
const differenceBytes = 16_384

export interface FetchPlan {
  /** Inventories of which the neighbour says that it has a newer state. */
  readonly newer: readonly OriginSummary[]
  /** The neighbour knows of a state of this node's own inventory that this node doesn't know. */
  readonly ownIsNewer: boolean
}

/**
 * What is worth fetching from a neighbour that tells `theirs` of the origins on which it differs. `isKnown` says of a
 * short id whether its node is a member: of others nothing is taken.
 */
export function planFetch(
  state: ReplicaState,
  theirs: readonly OriginSummary[],
  isKnown: (shortId: string) => boolean,
): FetchPlan {
  const newer: OriginSummary[] = []
  let ownIsNewer = false
  const { self } = state.origins
  for (const summary of theirs) {
    const known = state.origins.byShortId(summary.shortId)?.checkpoint
    const age = known === undefined ? 1 : compareAge(summary, known)
    if (summary.shortId === self.shortId) {
      const twin =
        age === 0 && !sameBytes(summary.setHashPrefix, known!.setHash.subarray(0, setHashPrefixBytes))
      ownIsNewer ||= age > 0 || twin
    } else if (age > 0 && isKnown(summary.shortId)) {
      newer.push(summary)
    }
  }
  return { newer, ownIsNewer }
}

/** The next request of a plan: takes from the front of `queue` what fits into one. */
export function* takeBatch(state: ReplicaState, queue: OriginSummary[]): Steps<Want[]> {
  const wants: Want[] = []
  let bytes = 0
  for (let next = queue[0]; next !== undefined && wants.length < maxWants; next = queue[0]) {
    const whole = next.count * elementBytes
    const known = state.origins.byShortId(next.shortId)
    const byBuckets = known !== undefined && countOf(known.sets) >= compareBucketsFrom
    const expected = byBuckets ? Math.min(whole, differenceBytes) : whole
    if (wants.length > 0 && bytes + expected > batchBytes) break
    queue.shift()
    bytes += expected
    wants.push(wantOf(state, next.shortId))
    if (byBuckets) yield
  }
  return wants
}

/** A request for what is newer of an origin; `whole` where asking by buckets has failed. */
export function wantOf(state: ReplicaState, shortId: string, whole = false): Want {
  const entry = state.origins.byShortId(shortId)
  const known = entry?.checkpoint
  const byBuckets = !whole && known !== undefined && countOf(entry!.sets) >= compareBucketsFrom
  return {
    shortId,
    epoch: known?.epoch ?? 0,
    sequence: known?.sequence ?? 0,
    buckets: byBuckets ? shortBucketHashes(bucketsOf(state, entry!)) : undefined,
    proofOnly: false,
  }
}

/** Asks for proof that there is a state of the own inventory that is newer, or another than this node's. */
export function wantOwnProof(state: ReplicaState): Want {
  const { shortId, checkpoint } = state.origins.self
  const sequence = Math.max(0, (checkpoint?.sequence ?? 0) - 1)
  return { shortId, epoch: checkpoint?.epoch ?? 0, sequence, buckets: undefined, proofOnly: true }
}
