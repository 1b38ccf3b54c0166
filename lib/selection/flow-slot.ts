/** Where slots are counted; a `FlowLimit` is one. */
export interface SlotCounter {
  leave(peer: string): void
  /** Counts it, and says whether there is room; else it waits, and new ones don't come before it. */
  enter(peer: string): boolean
  /** Is there room now for one that waits? Then it waits no more. */
  retry(peer: string): boolean
  /** One that waits goes. */
  giveUp(peer: string): void
}

/** `wait`: ask again soon. `none`: there was no room for too long; the request should end. */
export type SlotVerdict = 'go' | 'wait' | 'none'

/** Less than the stall timeout of a peer, which waits at the other end. */
export const maxSlotWaitMs = 1500

/**
 * Room for one request. It is given back while the reader of the request takes nothing, so that readers that stopped keep nobody
 * waiting, and taken again, before those that have not begun, when the reader goes on.
 */
export class FlowSlot {
  readonly #counter: SlotCounter
  readonly #peer: string
  #state: 'held' | 'parked' | 'waiting' | 'freed' = 'held'
  #waitsSinceMs = 0

  constructor(counter: SlotCounter, peer: string) {
    this.#counter = counter
    this.#peer = peer
  }

  get parked(): boolean {
    return this.#state === 'parked' || this.#state === 'waiting'
  }

  /** Its reader takes nothing. */
  park(): void {
    if (this.#state === 'held') this.#counter.leave(this.#peer)
    else if (this.#state === 'waiting') this.#counter.giveUp(this.#peer)
    else return
    this.#state = 'parked'
  }

  /** Its reader goes on. `nowMs` is monotonic. */
  resume(nowMs: number): SlotVerdict {
    if (this.#state === 'held') return 'go'
    if (this.#state === 'freed') return 'none'
    const waits = this.#state === 'waiting'
    if (!waits) this.#waitsSinceMs = nowMs
    if (waits ? this.#counter.retry(this.#peer) : this.#counter.enter(this.#peer)) {
      this.#state = 'held'
      return 'go'
    }
    this.#state = 'waiting'
    if (nowMs - this.#waitsSinceMs < maxSlotWaitMs) return 'wait'
    this.park()
    return 'none'
  }

  /** To be called at least once. */
  free(): void {
    this.park()
    this.#state = 'freed'
  }
}
