import type { Digest } from '../../core/digest.ts'

/**
 * Bytes a second that hashing takes: new blobs at once, old ones without a map and those that a peer doubts soon, the round over all
 * in peace.
 */
export interface HashRates {
  readonly backlog: number
  readonly scrub: number
}

export const defaultHashRates: HashRates = { backlog: 64 * 2 ** 20, scrub: 8 * 2 ** 20 }

export interface HashTask {
  readonly digest: Digest
  readonly kind: 'urgent' | 'doubt' | 'backlog' | 'scrub'
}

/** Which blob is hashed next; a pure queue, as large as the store at most. */
export class WorkOrder {
  readonly #urgent = new Set<Digest>()
  readonly #doubted = new Set<Digest>()
  readonly #backlog = new Set<Digest>()
  #round: Iterator<Digest> | undefined

  /** Is a round over all blobs under way? */
  get inRound(): boolean {
    return this.#round !== undefined
  }

  urgent(digest: Digest): void {
    this.#backlog.delete(digest)
    this.#urgent.add(digest)
  }

  /** Its bytes are to be read, whatever its map says. */
  doubt(digest: Digest): void {
    this.#doubted.add(digest)
  }

  backlog(digest: Digest): void {
    if (!this.#urgent.has(digest)) this.#backlog.add(digest)
  }

  forget(digest: Digest): void {
    this.#urgent.delete(digest)
    this.#doubted.delete(digest)
    this.#backlog.delete(digest)
  }

  beginRound(digests: Iterable<Digest>): void {
    this.#round ??= digests[Symbol.iterator]()
  }

  next(): HashTask | undefined {
    for (const [kind, set] of [
      ['urgent', this.#urgent],
      ['doubt', this.#doubted],
      ['backlog', this.#backlog],
    ] as const) {
      for (const digest of set) {
        set.delete(digest)
        return { digest, kind }
      }
    }
    const next = this.#round?.next()
    if (next?.done === false) return { digest: next.value, kind: 'scrub' }
    this.#round = undefined
    return undefined
  }
}
