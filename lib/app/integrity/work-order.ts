import type { Digest } from '../../core/digest.ts'

/**
 * Bytes a second that hashing takes: new blobs as fast as it goes, old ones without a map and those that a peer doubts soon, the
 * round over all in peace.
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

/**
 * New blobs rest until none has come for so long: the moment in which an image is complete is the one in which containerd unpacks
 * it, on all nodes of a rollout together.
 */
export const defaultRestMs = 5000
/** The first of them rests no longer than so many times that. */
const maxRests = 6

/** Which blob is hashed next; a pure queue, as large as the store at most. */
export class WorkOrder {
  readonly #restMs: number
  readonly #fresh = new Set<Digest>()
  #firstFreshMs = 0
  #lastFreshMs = 0
  readonly #urgent = new Set<Digest>()
  readonly #doubted = new Set<Digest>()
  readonly #backlog = new Set<Digest>()
  #round: Iterator<Digest> | undefined

  /** Is a round over all blobs under way? */
  get inRound(): boolean {
    return this.#round !== undefined
  }

  constructor(restMs = defaultRestMs) {
    this.#restMs = restMs
  }

  /** A new blob, which may rest; `nowMs` is of the clock that `next` is asked with. */
  fresh(digest: Digest, nowMs: number): void {
    if (this.#urgent.has(digest)) return
    if (this.#fresh.size === 0) this.#firstFreshMs = nowMs
    this.#lastFreshMs = nowMs
    this.#backlog.delete(digest)
    this.#fresh.add(digest)
  }

  /** When the new blobs have rested; undefined where there are none. */
  get restedMs(): number | undefined {
    if (this.#fresh.size === 0) return undefined
    return Math.min(this.#lastFreshMs + this.#restMs, this.#firstFreshMs + maxRests * this.#restMs)
  }

  urgent(digest: Digest): void {
    this.#fresh.delete(digest)
    this.#backlog.delete(digest)
    this.#urgent.add(digest)
  }

  /** Its bytes are to be read, whatever its map says. */
  doubt(digest: Digest): void {
    this.#doubted.add(digest)
  }

  backlog(digest: Digest): void {
    if (!this.#urgent.has(digest) && !this.#fresh.has(digest)) this.#backlog.add(digest)
  }

  forget(digest: Digest): void {
    this.#fresh.delete(digest)
    this.#urgent.delete(digest)
    this.#doubted.delete(digest)
    this.#backlog.delete(digest)
  }

  beginRound(digests: Iterable<Digest>): void {
    this.#round ??= digests[Symbol.iterator]()
  }

  next(nowMs: number): HashTask | undefined {
    if (nowMs >= (this.restedMs ?? Number.POSITIVE_INFINITY)) {
      for (const digest of this.#fresh) this.#urgent.add(digest)
      this.#fresh.clear()
    }
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
