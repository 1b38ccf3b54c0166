import { type Checkpoint, compareAge, sameBytes } from './checkpoint.ts'
import { keySizeBytes, type TagPair, tagKey } from './elements.ts'
import { bucketStart, includesId } from './id-sets.ts'
import type { KeyTable } from './key-table.ts'
import type { OriginEntry } from './origin-table.ts'
import { bucketsOf, type ReplicaState } from './replica-state.ts'
import {
  BucketHasher,
  type BucketHashes,
  bucketCount,
  bucketOf,
  hashSizeBytes,
  setHashOf,
} from './set-hash.ts'
import { exchangeSets, exclusively, type Steps, stepElements } from './transition.ts'

/** A whole inventory, or some buckets of one, as a neighbour sent it. */
export interface InventoryContent {
  /** Packed, ascending. */
  readonly digests: Uint8Array
  /** In the order of their keys. */
  readonly tags: readonly TagPair[]
  /** Which buckets these are; undefined for all. The others stay as they are known. */
  readonly buckets: readonly number[] | undefined
}

/**
 * - `installed`; `stale`: what is known is as new; `superseded`: what is known has changed since it was asked for;
 * - `busy`: another exchange is under way; `disordered`: keys out of order, doubled or of buckets not named;
 * - `wrong-set-hash`: not what the origin signed.
 */
export type InstallOutcome = 'installed' | 'stale' | 'superseded' | 'busy' | 'disordered' | 'wrong-set-hash'

/**
 * Puts what a neighbour sent in the place of an origin's inventory once it is proven against the origin's checkpoint,
 * whose signature must have been checked. `basis` is the checkpoint that was known when buckets were asked for.
 */
export function* installInventory(
  state: ReplicaState,
  entry: OriginEntry,
  checkpoint: Checkpoint,
  content: InventoryContent,
  basis: Checkpoint | undefined,
): Steps<InstallOutcome> {
  if (entry.work !== 'idle') return 'busy'
  if (entry.checkpoint !== undefined && compareAge(checkpoint, entry.checkpoint) <= 0) return 'stale'
  if (content.buckets !== undefined && entry.checkpoint !== basis) return 'superseded'
  return yield* exclusively(state, entry, proveAndExchange(state, entry, checkpoint, content))
}

function* proveAndExchange(
  state: ReplicaState,
  entry: OriginEntry,
  checkpoint: Checkpoint,
  content: InventoryContent,
): Steps<InstallOutcome> {
  const tagKeys: Uint8Array = new Uint8Array(content.tags.length * keySizeBytes)
  for (const [index, pair] of content.tags.entries()) {
    tagKeys.set(tagKey(pair), index * keySizeBytes)
    if (index % stepElements === 0) yield
  }
  const replaced = new Uint8Array(bucketCount).fill(content.buckets === undefined ? 1 : 0)
  for (const bucket of content.buckets ?? []) replaced[bucket] = 1
  if (!inOrder(content.digests, replaced) || !inOrder(tagKeys, replaced)) return 'disordered'
  const buckets = yield* contentBuckets(state, entry, { digests: content.digests, tags: tagKeys }, replaced)
  if (!sameBytes(setHashOf(buckets), checkpoint.setHash)) return 'wrong-set-hash'
  if (countAfter(state, entry, content, replaced) !== checkpoint.count) return 'wrong-set-hash'
  const sets = {
    digests: yield* holdKeys(state, entry, 'digests', content.digests, replaced, (at) =>
      state.digests.table.intern(content.digests, at),
    ),
    tags: yield* holdKeys(state, entry, 'tags', tagKeys, replaced, (at) =>
      state.tags.internPair(content.tags[at / keySizeBytes]!, tagKeys.subarray(at, at + keySizeBytes)),
    ),
  }
  yield* exchangeSets(state, entry, { sets, checkpoint, buckets })
  return 'installed'
}

/** Elements that stay as they are because their bucket is not replaced. */
function keptCount(table: KeyTable, ids: Uint32Array, replaced: Uint8Array): number {
  let kept = 0
  for (let bucket = 0; bucket < bucketCount; bucket += 1) {
    if (replaced[bucket] !== 1) kept += bucketStart(table, ids, bucket + 1) - bucketStart(table, ids, bucket)
  }
  return kept
}

function countAfter(
  state: ReplicaState,
  entry: OriginEntry,
  content: InventoryContent,
  replaced: Uint8Array,
): number {
  const sent = content.digests.length / keySizeBytes + content.tags.length
  const keptDigests = keptCount(state.digests.table, entry.sets.digests, replaced)
  return sent + keptDigests + keptCount(state.tags.table, entry.sets.tags, replaced)
}

function prefixAt(keys: Uint8Array, at: number): number {
  return ((keys[at]! << 24) | (keys[at + 1]! << 16) | (keys[at + 2]! << 8) | keys[at + 3]!) >>> 0
}

/** Are the keys strictly ascending, and all in buckets that are replaced? */
function inOrder(keys: Uint8Array, replaced: Uint8Array): boolean {
  for (let at = 0; at < keys.length; at += keySizeBytes) {
    if (replaced[bucketOf(prefixAt(keys, at))] !== 1) return false
    if (at === 0) continue
    let byte = 0
    while (byte < keySizeBytes && keys[at - keySizeBytes + byte] === keys[at + byte]) byte += 1
    if (byte === keySizeBytes || keys[at - keySizeBytes + byte]! > keys[at + byte]!) return false
  }
  return true
}

/** The end of a bucket in packed keys, from where it begins. */
function bucketEnd(keys: Uint8Array, start: number, bucket: number): number {
  let end = start
  while (end < keys.length && bucketOf(prefixAt(keys, end)) === bucket) end += keySizeBytes
  return end
}

/** The bucket hashes that the inventory would have. */
function* contentBuckets(
  state: ReplicaState,
  entry: OriginEntry,
  keys: { digests: Uint8Array; tags: Uint8Array },
  replaced: Uint8Array,
): Steps<BucketHashes> {
  const whole = !replaced.includes(0)
  const hashes = whole ? new Uint8Array(bucketCount * hashSizeBytes) : bucketsOf(state, entry).slice()
  const hasher = new BucketHasher()
  let digest = 0
  let tag = 0
  for (let bucket = 0; bucket < bucketCount; bucket += 1) {
    if (replaced[bucket] !== 1) continue
    const digestEnd = bucketEnd(keys.digests, digest, bucket)
    const tagEnd = bucketEnd(keys.tags, tag, bucket)
    hasher.begin((digestEnd - digest) / keySizeBytes)
    hasher.addPacked(keys.digests.subarray(digest, digestEnd))
    hasher.addPacked(keys.tags.subarray(tag, tagEnd))
    hasher.finish(hashes, bucket)
    digest = digestEnd
    tag = tagEnd
    yield
  }
  return hashes
}

/** Makes the origin a holder of all keys; returns its elements of that kind, kept buckets included, in order. */
function* holdKeys(
  state: ReplicaState,
  entry: OriginEntry,
  kind: 'digests' | 'tags',
  keys: Uint8Array,
  replaced: Uint8Array,
  intern: (at: number) => number,
): Steps<Uint32Array> {
  const { table, postings } = state[kind]
  const old = entry.sets[kind]
  const ids = new Uint32Array(keys.length / keySizeBytes + keptCount(table, old, replaced))
  let length = 0
  let at = 0
  for (let bucket = 0; bucket < bucketCount; bucket += 1) {
    if (replaced[bucket] !== 1) {
      const range = old.subarray(bucketStart(table, old, bucket), bucketStart(table, old, bucket + 1))
      ids.set(range, length)
      length += range.length
      continue
    }
    for (const end = bucketEnd(keys, at, bucket); at < end; at += keySizeBytes) {
      const id = intern(at)
      if (!includesId(table, old, id)) postings.add(id, entry.index)
      ids[length] = id
      length += 1
      if (length % stepElements === 0) yield
    }
  }
  return ids
}
