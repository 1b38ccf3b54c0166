/** Bounds of `PeerRpc`; the defaults hold for a node with 64 connections within some tens of megabytes. */
export interface RpcLimits {
  readonly maxRequestSizeBytes: number
  /** Most bytes of one answer frame. */
  readonly maxAnswerFrameSizeBytes: number
  /** Requests from others that are being answered at once. */
  readonly maxInbound: number
  readonly maxInboundPerPeer: number
  /** Our own requests under way at once. */
  readonly maxOutbound: number
  readonly maxOutboundPerPeer: number
  /** A peer that opened a stream must have sent its request by then. */
  readonly requestTimeoutMs: number
  /** A peer that takes nothing of an answer for this long is cut off. */
  readonly stallTimeoutMs: number
  /** Most bytes of an answer that wait in memory for a slow reader. */
  readonly maxBufferedBytes: number
}

export const defaultRpcLimits: RpcLimits = {
  maxRequestSizeBytes: 2 ** 20,
  maxAnswerFrameSizeBytes: 2 ** 20,
  maxInbound: 128,
  maxInboundPerPeer: 16,
  maxOutbound: 256,
  maxOutboundPerPeer: 32,
  requestTimeoutMs: 5_000,
  stallTimeoutMs: 15_000,
  maxBufferedBytes: 256 * 1024,
}

/** Counts what is under way, in all and for each key, and says when one more would be too many. */
export class InFlight<K> {
  readonly #max: number
  readonly #maxPerKey: number
  readonly #counts = new Map<K, number>()
  #total = 0

  constructor(max: number, maxPerKey: number) {
    this.#max = max
    this.#maxPerKey = maxPerKey
  }

  get total(): number {
    return this.#total
  }

  /** Takes a place; undefined where there is none, else the function that gives it back. */
  enter(key: K): (() => void) | undefined {
    const count = this.#counts.get(key) ?? 0
    if (this.#total >= this.#max || count >= this.#maxPerKey) return undefined
    this.#total++
    this.#counts.set(key, count + 1)
    let left = false
    return () => {
      if (left) return
      left = true
      this.#total--
      const now = (this.#counts.get(key) ?? 1) - 1
      if (now === 0) this.#counts.delete(key)
      else this.#counts.set(key, now)
    }
  }
}
