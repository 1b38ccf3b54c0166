import { compareAge } from './checkpoint.ts'
import { tagPairSizeBytes } from './element-codec.ts'
import type { TagPair } from './elements.ts'
import { bucketStart, type IdSets } from './id-sets.ts'
import type { KeyTable } from './key-table.ts'
import type { OriginEntry } from './origin-table.ts'
import { bucketsOf, type ReplicaState } from './replica-state.ts'
import { allBuckets, differingBuckets, shortBucketHashes } from './set-hash.ts'
import { encodeAnswer, maxSyncFrameBytes } from './sync-answer.ts'
import type { Want } from './sync-request.ts'

/** An answer ends before the inventory that would take it beyond this; a single one may be larger. */
const answerBytes = 4 * 2 ** 20
const frameBytes = maxSyncFrameBytes - 256

/**
 * The frames that answer a fetch. They are made as they are taken, so a slow reader holds one frame. An inventory
 * that changes between two frames breaks off: its reader sees that the last part is missing and asks again.
 */
export function* serveFetch(state: ReplicaState, wants: readonly Want[]): Generator<Uint8Array> {
  let sentBytes = 0
  for (const want of wants) {
    const entry = state.origins.byShortId(want.shortId)
    const checkpoint = entry?.checkpoint
    if (entry === undefined || checkpoint === undefined || compareAge(checkpoint, want) <= 0) continue
    if (sentBytes >= answerBytes) return
    const buckets = want.proofOnly
      ? []
      : want.buckets === undefined
        ? undefined
        : differingBuckets(shortBucketHashes(bucketsOf(state, entry)), want.buckets)
    const head = encodeAnswer({ kind: 'inventory', shortId: want.shortId, checkpoint, buckets })
    sentBytes += head.length
    const content = contentFrames(state, entry, buckets)
    yield head
    for (const frame of content) {
      sentBytes += frame.length
      yield frame
    }
  }
}

function idsOf(table: KeyTable, ids: Uint32Array, buckets: readonly number[]): Uint32Array {
  if (buckets.length === allBuckets.length) return ids
  const ranges = buckets.map((bucket) =>
    ids.subarray(bucketStart(table, ids, bucket), bucketStart(table, ids, bucket + 1)),
  )
  const chosen = new Uint32Array(ranges.reduce((total, range) => total + range.length, 0))
  let length = 0
  for (const range of ranges) {
    chosen.set(range, length)
    length += range.length
  }
  return chosen
}

function contentFrames(
  state: ReplicaState,
  entry: OriginEntry,
  buckets: readonly number[] = allBuckets,
): Generator<Uint8Array> {
  const { sets } = entry
  const chosen: IdSets = {
    digests: idsOf(state.tables.digests, sets.digests, buckets),
    tags: idsOf(state.tables.tags, sets.tags, buckets),
  }
  return framesOf(state, chosen, () => entry.sets === sets)
}

function* framesOf(state: ReplicaState, ids: IdSets, unchanged: () => boolean): Generator<Uint8Array> {
  const perFrame = Math.floor(frameBytes / 32)
  let digest = 0
  let tag = 0
  do {
    if (!unchanged()) return
    const end = Math.min(ids.digests.length, digest + perFrame)
    const digests = new Uint8Array((end - digest) * 32)
    const view = new DataView(digests.buffer)
    for (let offset = 0; digest < end; digest += 1, offset += 32) {
      state.tables.digests.copyKey(ids.digests[digest]!, view, offset)
    }
    const tags: TagPair[] = []
    for (let room = frameBytes - digests.length; tag < ids.tags.length; tag += 1) {
      const pair = state.tags.pair(ids.tags[tag]!)
      room -= tagPairSizeBytes(pair)
      if (room < 0 || digest < ids.digests.length) break
      tags.push(pair)
    }
    const last = digest === ids.digests.length && tag === ids.tags.length
    yield encodeAnswer({ kind: 'elements', digests, tags, last })
  } while (digest < ids.digests.length || tag < ids.tags.length)
}
