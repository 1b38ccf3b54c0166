import type { PeerId } from '../core/peer-id.ts'
import { ElementIndex } from './element-index.ts'
import { hashBuckets, type IdSets, type Tables } from './id-sets.ts'
import { type OriginEntry, OriginTable } from './origin-table.ts'
import { allBuckets, type BucketHashes } from './set-hash.ts'
import { TagIndex } from './tag-index.ts'

/** The replica of one registry: everything that is known of what its origins offer. */
export interface ReplicaState {
  readonly registry: string
  readonly origins: OriginTable
  readonly digests: ElementIndex
  readonly tags: TagIndex
  readonly tables: Tables
}

/** An empty replica. `seed` (32 bits) makes the hash tables unforeseeable. */
export function createReplicaState(registry: string, self: PeerId, seed: number): ReplicaState {
  const digests = new ElementIndex(seed)
  const tags = new TagIndex(seed)
  return {
    registry,
    origins: new OriginTable(self),
    digests,
    tags,
    tables: { digests: digests.table, tags: tags.table },
  }
}

/** Inventories from this size on keep the hashes of their buckets: one byte for an element, at most. */
const keepBucketsFrom = 2048

export function countOf(sets: IdSets): number {
  return sets.digests.length + sets.tags.length
}

export function bucketsOf(state: ReplicaState, entry: OriginEntry): BucketHashes {
  return entry.buckets ?? hashBuckets(state.tables, entry.sets, allBuckets)
}

/** The hashes to keep for an inventory. */
export function bucketsToKeep(sets: IdSets, buckets: BucketHashes): BucketHashes | undefined {
  return countOf(sets) >= keepBucketsFrom ? buckets : undefined
}
