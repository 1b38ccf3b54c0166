import type { Rng } from '../core/ports.ts'

/**
 * Round-robin over a shuffled list, reshuffled after each pass; a new member is put at a random place of what is left
 * (SWIM paper §4.3), so that each is probed within two passes.
 */
export class ProbeOrder {
  readonly #rng: Rng
  #order: number[] = []
  #next = 0

  constructor(rng: Rng) {
    this.#rng = rng
  }

  /** Adding what is there already does no harm: it is left out at the next shuffle. */
  add(member: number): void {
    const at = this.#next + Math.floor(this.#rng.next() * (this.#order.length - this.#next + 1))
    const displaced = this.#order[at]
    this.#order[at] = member
    if (displaced !== undefined) this.#order.push(displaced)
  }

  /** The next member that `fits`; undefined where none does. `members` are all that count, for the next pass. */
  next(fits: (member: number) => boolean, members: () => Iterable<number>): number | undefined {
    for (let pass = 0; pass < 2; pass++) {
      while (this.#next < this.#order.length) {
        const member = this.#order[this.#next++]!
        if (fits(member)) return member
      }
      this.#order = [...members()].filter(fits)
      this.#next = 0
      this.#shuffle()
    }
    return undefined
  }

  #shuffle(): void {
    const order = this.#order
    for (let index = order.length - 1; index > 0; index--) {
      const other = Math.floor(this.#rng.next() * (index + 1))
      const moved = order[index]!
      order[index] = order[other]!
      order[other] = moved
    }
  }
}
