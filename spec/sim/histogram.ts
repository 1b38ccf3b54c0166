/** Counts of durations in steps of 20 ms up to 20 minutes, so that a hundred million of them fit. */
export class Histogram {
  readonly #counts = new Float64Array(60_000)
  #count = 0
  #max = Number.NaN

  get count(): number {
    return this.#count
  }

  add(valueMs: number): void {
    const at = Math.min(this.#counts.length - 1, Math.max(0, Math.floor(valueMs / stepMs)))
    this.#counts[at]! += 1
    this.#count += 1
    this.#max = this.#count === 1 ? valueMs : Math.max(this.#max, valueMs)
  }

  /** Upper edge of the step in which the quantile lies, at most the greatest; NaN of none. */
  quantile(share: number): number {
    let left = Math.max(1, Math.ceil(this.#count * share))
    for (let at = 0; at < this.#counts.length && this.#count > 0; at++) {
      left -= this.#counts[at]!
      if (left <= 0) return Math.min(this.#max, (at + 1) * stepMs)
    }
    return this.#max
  }
}

const stepMs = 20
