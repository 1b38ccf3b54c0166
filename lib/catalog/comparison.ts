import { hash } from 'node:crypto'
import type { ReplicaState } from './replica-state.ts'
import { bucketCount, differingBuckets } from './set-hash.ts'
import { encodeAnswer, maxSyncFrameBytes, type OriginSummary, setHashPrefixBytes } from './sync-answer.ts'

const rowBytes = 24 + setHashPrefixBytes

/**
 * For each bucket of origins (by the first 6 bits of their short ids) 8 bytes of a hash over {origin → epoch, sequence,
 * set hash}: two nodes that know the same send each other the same 512 bytes.
 */
export function hashOrigins(state: ReplicaState): Uint8Array {
  const hashes = new Uint8Array(bucketCount * 8)
  for (let bucket = 0; bucket < bucketCount; bucket += 1) {
    const entries = state.origins.inBucket(bucket)
    const rows = Buffer.alloc(entries.length * rowBytes)
    let end = 0
    for (const { shortIdBytes, checkpoint } of entries) {
      if (checkpoint === undefined) continue
      rows.set(shortIdBytes, end)
      writeInteger(rows, checkpoint.epoch, end + 8)
      writeInteger(rows, checkpoint.sequence, end + 16)
      for (let byte = 0; byte < setHashPrefixBytes; byte += 1) {
        rows[end + 24 + byte] = checkpoint.setHash[byte]!
      }
      end += rowBytes
    }
    if (end > 0) hashes.set(hash('sha256', rows.subarray(0, end), 'buffer').subarray(0, 8), bucket * 8)
  }
  return hashes
}

/** A safe integer in 8 bytes, big-endian. */
function writeInteger(target: Buffer, value: number, offset: number): void {
  target.writeUInt32BE(Math.floor(value / 2 ** 32), offset)
  target.writeUInt32BE(value % 2 ** 32, offset + 4)
}

/** A summary takes at most so many bytes on the wire. */
const summaryBytes = 64

/** What is known of the origins in those buckets whose hashes differ from the ones given. */
export function differingOrigins(state: ReplicaState, hashes: Uint8Array): OriginSummary[] {
  const summaries: OriginSummary[] = []
  for (const bucket of differingBuckets(hashOrigins(state), hashes)) {
    for (const { shortId, checkpoint } of state.origins.inBucket(bucket)) {
      if (checkpoint === undefined) continue
      const { epoch, sequence, setHash, count } = checkpoint
      const setHashPrefix = setHash.subarray(0, setHashPrefixBytes)
      summaries.push({ shortId, epoch, sequence, setHashPrefix, count })
    }
  }
  return summaries
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
