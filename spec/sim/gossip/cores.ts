/** Cores that each do one thing after the other. */
export class Cores {
  /** What each has worked, in milliseconds. */
  readonly workedMs: Float64Array
  readonly #busyUntilMs: Float64Array

  constructor(count: number) {
    this.workedMs = new Float64Array(count)
    this.#busyUntilMs = new Float64Array(count)
  }

  /** Adds work to the core of a node. @returns when it is done */
  work(node: number, nowMs: number, durationMs: number): number {
    const core = node % this.workedMs.length
    const doneMs = Math.max(nowMs, this.#busyUntilMs[core]!) + durationMs
    this.#busyUntilMs[core] = doneMs
    this.workedMs[core]! += durationMs
    return doneMs
  }
}
