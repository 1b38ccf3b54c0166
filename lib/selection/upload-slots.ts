/** How many peers may be given bytes at the same time. */
export interface SlotLimits {
  readonly total: number
  readonly perPeer: number
}

/** Counts who is given bytes, so that many requesters don't drown a popular holder: those beyond go elsewhere or wait. */
export class UploadSlots {
  readonly #limits: SlotLimits
  readonly #taken = new Map<string, number>()
  #total = 0

  constructor(limits: SlotLimits) {
    this.#limits = limits
  }

  /** A function that frees the slot, to be called at least once; undefined where there is none. */
  take(peer: string): (() => void) | undefined {
    const taken = this.#taken.get(peer) ?? 0
    if (this.#total >= this.#limits.total || taken >= this.#limits.perPeer) return undefined
    this.#total++
    this.#taken.set(peer, taken + 1)
    let freed = false
    return () => {
      if (freed) return
      freed = true
      this.#total--
      const left = (this.#taken.get(peer) ?? 1) - 1
      if (left === 0) this.#taken.delete(peer)
      else this.#taken.set(peer, left)
    }
  }

  get total(): number {
    return this.#total
  }
}
