import type { Clock } from '../core/ports.ts'

const halfLifeMs = 30_000
const maxStrikes = 30
const maxPeers = 1024

/**
 * What gossipsub should think of a peer: nothing but messages that no honest node sends lowers it, and it recovers by
 * half in 30 seconds. Every peer here has proved that it belongs to the cluster, so gaps, silence or a shared address
 * are no offence (DESIGN §5).
 */
export class BusScoring {
  readonly #clock: Clock
  readonly #strikes = new Map<string, { count: number; atMs: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  strike(peer: string): void {
    const count = Math.min(maxStrikes, this.#current(peer) + 1)
    this.#strikes.delete(peer)
    this.#strikes.set(peer, { count, atMs: this.#clock.monotonicMs() })
    const oldest = this.#strikes.size > maxPeers ? this.#strikes.keys().next().value : undefined
    if (oldest !== undefined) this.#strikes.delete(oldest)
  }

  /** 0 for a good peer, else minus the messages lately rejected. */
  score(peer: string): number {
    const strikes = this.#current(peer)
    if (strikes < 0.5) {
      this.#strikes.delete(peer)
      return 0
    }
    return -strikes
  }

  #current(peer: string): number {
    const known = this.#strikes.get(peer)
    if (known === undefined) return 0
    return known.count * 2 ** (-(this.#clock.monotonicMs() - known.atMs) / halfLifeMs)
  }
}
