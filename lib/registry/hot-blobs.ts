import { LRUCache } from 'lru-cache'
import type { Digest } from '../core/digest.ts'

const keptMs = 1000
const maxAsked = 256
const maxKeptBytes = 2 * 2 ** 20

export interface HotBlob {
  readonly bytes: Uint8Array
  /** `LocalBlob.stamp` of the file that they were read from. */
  readonly stamp: string
  /** Their digest was held against them. */
  readonly checked: boolean
}

/**
 * Small blobs that were asked for twice within a second, for the rest of the next one: when many nodes pull one image they all ask for its
 * configuration, and handing a read to another thread costs more than 64 KiB of TLS (measured). Bounded.
 */
export class HotBlobs {
  readonly #asked = new LRUCache<Digest, true>({ max: maxAsked, ttl: keptMs })
  readonly #kept = new LRUCache<Digest, HotBlob>({
    maxSize: maxKeptBytes,
    ttl: keptMs,
    ttlAutopurge: true,
    sizeCalculation: ({ bytes }) => bytes.length + 256,
  })

  get(digest: Digest): HotBlob | undefined {
    return this.#kept.get(digest)
  }

  /** The bytes are copied where they are kept. */
  put(digest: Digest, blob: HotBlob): void {
    if (this.#asked.get(digest) !== true) this.#asked.set(digest, true)
    else this.#kept.set(digest, { ...blob, bytes: Uint8Array.from(blob.bytes) })
  }
}
