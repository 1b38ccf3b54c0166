/** So many second requests are always allowed, and beyond that one for so many that run. */
const alwaysAllowed = 2
const requestsForOne = 10

/**
 * Bounds the second requests for bytes that are late (Dean and Barroso, "The Tail at Scale": hedges must stay a small part of the
 * load). Where everything is late the node itself is slow, or its links are, and asking for all of it twice would make it slower: a
 * request that may not be hedged is left to the stall timeout. Each thread has a budget of its own: the bound is a part of what
 * runs in it, so the parts add up to the same of the whole node.
 */
export class HedgeBudget {
  readonly #onTake: (outcome: 'sent' | 'refused') => void
  #running = 0
  #hedges = 0

  constructor(onTake: (outcome: 'sent' | 'refused') => void = () => {}) {
    this.#onTake = onTake
  }

  /** Requests of any kind begin (1) or end (-1). */
  count(change: 1 | -1): void {
    this.#running += change
  }

  /** May one more range be asked for twice? To be given back when it is not any more. */
  take(): boolean {
    const allowed = this.#hedges < Math.max(alwaysAllowed, Math.floor(this.#running / requestsForOne))
    if (allowed) this.#hedges++
    this.#onTake(allowed ? 'sent' : 'refused')
    return allowed
  }

  give(): void {
    this.#hedges--
  }

  /** Ranges that are asked for twice now. */
  get hedges(): number {
    return this.#hedges
  }

  get running(): number {
    return this.#running
  }
}
