/** Counts of durations in 60,000 steps, so that a hundred million of them fit; those beyond count as the last. */
export class Histogram {
  readonly #counts = new Float64Array(60_000)
  readonly #stepMs: number
  #count = 0
  #max = Number.NaN

  /** @param stepMs by default up to 20 minutes fit */
  constructor(stepMs = 20) {
    this.#stepMs = stepMs
  }

  get count(): number {
    return this.#count
  }

  add(valueMs: number): void {
    const at = Math.min(this.#counts.length - 1, Math.max(0, Math.floor(valueMs / this.#stepMs)))
    this.#counts[at]! += 1
    this.#count += 1
    this.#max = this.#count === 1 ? valueMs : Math.max(this.#max, valueMs)
  }

  /** Upper edge of the step in which the quantile lies, at most the greatest; NaN of none. */
  quantile(share: number): number {
    let left = Math.max(1, Math.ceil(this.#count * share))
    for (let at = 0; at < this.#counts.length && this.#count > 0; at++) {
      left -= this.#counts[at]!
      if (left <= 0) return Math.min(this.#max, (at + 1) * this.#stepMs)
    }
    return this.#max
  }
}
