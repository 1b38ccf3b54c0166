import { hash } from 'node:crypto'

/**
 * The set hash proves an inventory: elements are sorted into 64 buckets by the first bits of their keys, each bucket is
 * hashed over its sorted keys, and one root stands over the buckets. A change costs the buckets that it touches.
 * Sums or exclusive-ors of hashes would be cheaper, but a relay could forge those (Wagner, "A Generalized Birthday
 * Problem", 2002).
 */
export const bucketCount = 64
export const hashSizeBytes = 32
export const allBuckets: readonly number[] = Array.from({ length: bucketCount }, (_, bucket) => bucket)

/** The hashes of all buckets, one after the other. An empty bucket is 32 zero bytes. */
export type BucketHashes = Uint8Array

const bucketContext = Buffer.from('starling bucket 1\n')
const rootContext = Buffer.from('starling set 1\n')

/** The bucket of a key with these first 32 bits. */
export function bucketOf(prefix: number): number {
  return prefix >>> 26
}

/** What the hash of a bucket is taken over: context and number of digests, then keys of digests, then of pairs. */
export class BucketHasher {
  #buffer = Buffer.alloc(4096)
  #view = new DataView(this.#buffer.buffer, this.#buffer.byteOffset)
  #length = 0

  /** Begins a bucket. The number of digests is hashed too: a digest can't be passed off as a pair with the same key. */
  begin(digests: number): void {
    bucketContext.copy(this.#buffer)
    this.#length = bucketContext.length
    this.#view.setUint32(this.#length, digests)
    this.#length += 4
  }

  /** Makes room for one more key: `write` puts its 32 bytes at the offset that it is given. */
  add(write: (target: DataView, offset: number) => void): void {
    this.#reserve(hashSizeBytes)
    write(this.#view, this.#length)
    this.#length += hashSizeBytes
  }

  /** Adds keys that lie one after the other. */
  addPacked(keys: Uint8Array): void {
    this.#reserve(keys.length)
    this.#buffer.set(keys, this.#length)
    this.#length += keys.length
  }

  /** Writes the hash of the bucket, or zeros where it had no key. */
  finish(target: BucketHashes, bucket: number): void {
    const at = bucket * hashSizeBytes
    if (this.#length === bucketContext.length + 4) target.fill(0, at, at + hashSizeBytes)
    else target.set(hash('sha256', this.#buffer.subarray(0, this.#length), 'buffer'), at)
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return
    const larger = Buffer.alloc(Math.max(this.#buffer.length * 2, this.#length + bytes))
    this.#buffer.copy(larger, 0, 0, this.#length)
    this.#buffer = larger
    this.#view = new DataView(larger.buffer, larger.byteOffset)
  }
}

/** The set hash of an inventory with these buckets. */
export function setHashOf(buckets: BucketHashes): Uint8Array {
  return hash('sha256', Buffer.concat([rootContext, buckets]), 'buffer')
}

export const emptySetHash: Uint8Array = setHashOf(new Uint8Array(bucketCount * hashSizeBytes))

/** Of each bucket's hash the first 8 bytes: enough to plan what to fetch, never to prove it. */
export function shortBucketHashes(buckets: BucketHashes): Uint8Array {
  const short = new Uint8Array(bucketCount * 8)
  for (let bucket = 0; bucket < bucketCount; bucket += 1) {
    short.set(buckets.subarray(bucket * hashSizeBytes, bucket * hashSizeBytes + 8), bucket * 8)
  }
  return short
}

/** The buckets in which two lists of short hashes differ. */
export function differingBuckets(a: Uint8Array, b: Uint8Array): number[] {
  const differing: number[] = []
  for (let bucket = 0; bucket < bucketCount; bucket += 1) {
    const at = bucket * 8
    for (let byte = at; byte < at + 8; byte += 1) {
      if (a[byte] !== b[byte]) {
        differing.push(bucket)
        break
      }
    }
  }
  return differing
}
