import { LRUCache } from 'lru-cache'
import type { Digest } from '../core/digest.ts'

const maxSizes = 4096
/** A blob may vanish meanwhile, as it may between a HEAD and the GET that follows it. */
const maxAgeMs = 5000

/**
 * Sizes that the store or a holder told a moment ago, for HEAD of hot digests: opening a file takes three turns of libuv's thread
 * pool, and asking a peer a hop. Used only while a lookup finds the digest; nothing but HEAD believes them.
 */
export class RecentSizes {
  readonly #sizes: LRUCache<Digest, number>

  constructor(now: () => number) {
    this.#sizes = new LRUCache({ max: maxSizes, ttl: maxAgeMs, ttlResolution: 0, perf: { now } })
  }

  get(digest: Digest): number | undefined {
    return this.#sizes.get(digest)
  }

  put(digest: Digest, sizeBytes: number): void {
    this.#sizes.set(digest, sizeBytes)
  }

  /** It is not there any more, or has other bytes than it should. */
  forget(digest: Digest): void {
    this.#sizes.delete(digest)
  }
}
