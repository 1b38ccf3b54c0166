/**
 * Local health multiplier (Lifeguard §3.1): how much this node should doubt itself. It stretches its own time-outs,
 * so that a slow node accuses less.
 */
export class LocalHealth {
  readonly #max: number
  #score = 0

  constructor(max: number) {
    this.#max = max
  }

  /** 0 is healthy. */
  get score(): number {
    return this.#score
  }

  /** Positive: this node seems slow; negative: something went as it should. */
  adjust(delta: number): void {
    this.#score = Math.min(this.#max, Math.max(0, this.#score + delta))
  }

  stretch(durationMs: number): number {
    return durationMs * (this.#score + 1)
  }
}
