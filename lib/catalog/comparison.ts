import { hash } from 'node:crypto'
import type { ReplicaState } from './replica-state.ts'
import { bucketCount, differingBuckets } from './set-hash.ts'
import { encodeAnswer, maxSyncFrameBytes, type OriginSummary, setHashPrefixBytes } from './sync-answer.ts'

const rowBytes = 24 + setHashPrefixBytes

/** Origins are sorted into as many buckets as elements are, by the first bits of their short ids. */
function bucketOfOrigin(shortId: string): number {
  return Number.parseInt(shortId.slice(0, 2), 16) >>> 2
}

function summariesByBucket(state: ReplicaState): OriginSummary[][] {
  const buckets: OriginSummary[][] = Array.from({ length: bucketCount }, () => [])
  for (const { shortId, checkpoint } of state.origins.all()) {
    if (checkpoint === undefined) continue
    const { epoch, sequence, count } = checkpoint
    const setHashPrefix = checkpoint.setHash.subarray(0, setHashPrefixBytes)
    buckets[bucketOfOrigin(shortId)]!.push({ shortId, epoch, sequence, setHashPrefix, count })
  }
  for (const bucket of buckets) bucket.sort((a, b) => (a.shortId < b.shortId ? -1 : 1))
  return buckets
}

/**
 * For each bucket of origins 8 bytes of a hash over {origin → epoch, sequence, set hash}: two nodes that know the same
 * send each other the same 512 bytes.
 */
export function hashOrigins(state: ReplicaState): Uint8Array {
  const hashes = new Uint8Array(bucketCount * 8)
  for (const [index, bucket] of summariesByBucket(state).entries()) {
    if (bucket.length === 0) continue
    const rows = Buffer.alloc(bucket.length * rowBytes)
    for (const [row, summary] of bucket.entries()) {
      rows.write(summary.shortId, row * rowBytes, 'hex')
      rows.writeBigUInt64BE(BigInt(summary.epoch), row * rowBytes + 8)
      rows.writeBigUInt64BE(BigInt(summary.sequence), row * rowBytes + 16)
      rows.set(summary.setHashPrefix, row * rowBytes + 24)
    }
    hashes.set(hash('sha256', rows, 'buffer').subarray(0, 8), index * 8)
  }
  return hashes
}

/** A summary takes at most so many bytes on the wire. */
const summaryBytes = 64

/** What is known of the origins in those buckets whose hashes differ from the ones given. */
export function differingOrigins(state: ReplicaState, hashes: Uint8Array): OriginSummary[] {
  const buckets = summariesByBucket(state)
  return differingBuckets(hashOrigins(state), hashes).flatMap((bucket) => buckets[bucket]!)
}

/** The frames that answer a comparison: what is known of the origins in buckets that differ. */
export function* comparisonFrames(state: ReplicaState, hashes: Uint8Array): Generator<Uint8Array> {
  const differing = differingOrigins(state, hashes)
  const perFrame = Math.floor(maxSyncFrameBytes / summaryBytes) - 1
  let start = 0
  do {
    const origins = differing.slice(start, start + perFrame)
    yield encodeAnswer({ kind: 'comparison', mirrored: true, origins })
    start += perFrame
  } while (start < differing.length)
}
