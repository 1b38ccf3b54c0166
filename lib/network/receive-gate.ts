import { LRUCache } from 'lru-cache'

export interface ReceiveGateOptions {
  /** Datagrams a second that may turn out to be refused before strangers are not looked at any more. */
  readonly refusalsPerSecond: number
  /** Source addresses of good datagrams that are remembered. */
  readonly maxSources: number
  /** A source is known for this long after its last good datagram. */
  readonly knownForMs: number
}

export const defaultReceiveGate: ReceiveGateOptions = {
  refusalsPerSecond: 2_000,
  maxSources: 4_096,
  knownForMs: 60_000,
}

/**
 * Keeps a flood of bad datagrams cheap: a token bucket pays for each refusal; while it is empty only sources that have
 * lately sent good datagrams are looked at. Source addresses can be forged, so this decides about work, not about trust.
 */
export class ReceiveGate {
  readonly #options: ReceiveGateOptions
  readonly #known: LRUCache<string, number>
  #tokens: number
  #filledMs: number | undefined

  constructor(options: ReceiveGateOptions = defaultReceiveGate) {
    this.#options = options
    this.#known = new LRUCache({ max: options.maxSources })
    this.#tokens = options.refusalsPerSecond
  }

  /** Is a datagram from this source worth being opened? */
  admits(source: string, nowMs: number): boolean {
    this.#fill(nowMs)
    if (this.#tokens >= 1) return true
    const lastGoodMs = this.#known.get(source)
    return lastGoodMs !== undefined && nowMs - lastGoodMs < this.#options.knownForMs
  }

  good(source: string, nowMs: number): void {
    this.#known.set(source, nowMs)
  }

  bad(): void {
    this.#tokens = Math.max(0, this.#tokens - 1)
  }

  #fill(nowMs: number): void {
    const { refusalsPerSecond } = this.#options
    const elapsedMs = nowMs - (this.#filledMs ?? nowMs)
    this.#filledMs = nowMs
    this.#tokens = Math.min(refusalsPerSecond, this.#tokens + (elapsedMs / 1000) * refusalsPerSecond)
  }
}
