import type { KeyTable } from './key-table.ts'
import { BucketHasher, type BucketHashes, bucketCount, bucketOf, hashSizeBytes } from './set-hash.ts'

/**
 * An inventory as numbers of elements in the order of their keys. The arrays are never changed: an inventory that
 * changes gets new ones, so that whoever reads the old ones notices.
 */
export interface IdSets {
  readonly digests: Uint32Array
  readonly tags: Uint32Array
}

export interface Tables {
  readonly digests: KeyTable
  readonly tags: KeyTable
}

export const emptyIds = new Uint32Array(0)

/** The place of the first of `ids` that stands not before `id`. */
function lowerBound(table: KeyTable, ids: Uint32Array, id: number): number {
  let low = 0
  let high = ids.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (table.compare(ids[middle]!, id) < 0) low = middle + 1
    else high = middle
  }
  return low
}

export function includesId(table: KeyTable, ids: Uint32Array, id: number): boolean {
  return ids[lowerBound(table, ids, id)] === id
}

/** Where a bucket begins in `ids`; that of the bucket behind the last one is the end. */
export function bucketStart(table: KeyTable, ids: Uint32Array, bucket: number): number {
  let low = 0
  let high = ids.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (bucketOf(table.prefix(ids[middle]!)) < bucket) low = middle + 1
    else high = middle
  }
  return low
}

/** `ids` with some more and without others. `added` must be absent, `removed` present; their order does not matter. */
export function changeIds(
  table: KeyTable,
  ids: Uint32Array,
  added: readonly number[],
  removed: ReadonlySet<number>,
): Uint32Array {
  if (added.length === 0 && removed.size === 0) return ids
  const sorted = [...added].sort((a, b) => table.compare(a, b))
  const changed = new Uint32Array(ids.length + sorted.length - removed.size)
  let length = 0
  let from = 0
  const copyUntil = (end: number): void => {
    for (; from < end; from += 1) {
      if (removed.size === 0 || !removed.has(ids[from]!)) {
        changed[length] = ids[from]!
        length += 1
      }
    }
  }
  for (const id of sorted) {
    copyUntil(lowerBound(table, ids, id))
    changed[length] = id
    length += 1
  }
  copyUntil(ids.length)
  return changed
}

/** What stands in `ids` and not in `others`; both in the order of their keys. */
export function* missingFrom(table: KeyTable, ids: Uint32Array, others: Uint32Array): Generator<number> {
  let other = 0
  for (const id of ids) {
    if (others[other] === id) {
      other += 1
      continue
    }
    while (other < others.length && table.compare(others[other]!, id) < 0) other += 1
    if (others[other] !== id) yield id
  }
}

const hasher = new BucketHasher()

/** The hashes of some buckets of an inventory, over a copy of `base`. */
export function hashBuckets(
  tables: Tables,
  sets: IdSets,
  buckets: Iterable<number>,
  base: BucketHashes = new Uint8Array(bucketCount * hashSizeBytes),
): BucketHashes {
  const hashes = base.slice()
  for (const bucket of buckets) {
    const digestsEnd = bucketStart(tables.digests, sets.digests, bucket + 1)
    const digestsStart = bucketStart(tables.digests, sets.digests, bucket)
    const tagsEnd = bucketStart(tables.tags, sets.tags, bucket + 1)
    hasher.begin(digestsEnd - digestsStart)
    for (let at = digestsStart; at < digestsEnd; at += 1) {
      hasher.add((target, offset) => tables.digests.copyKey(sets.digests[at]!, target, offset))
    }
    for (let at = bucketStart(tables.tags, sets.tags, bucket); at < tagsEnd; at += 1) {
      hasher.add((target, offset) => tables.tags.copyKey(sets.tags[at]!, target, offset))
    }
    hasher.finish(hashes, bucket)
  }
  return hashes
}
