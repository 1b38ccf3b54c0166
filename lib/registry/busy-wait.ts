import type { Candidate } from '../core/lookup.ts'

const lookAgainMs = 250

/** How a transfer waits while all candidates are busy: for a bounded time, and with a look at who else has the blob now. */
export class BusyWait {
  readonly #lookAgain: (() => Promise<readonly Candidate[]>) | undefined
  readonly #patienceMs: number
  #sinceMs: number | undefined
  #lookedMs = Number.NEGATIVE_INFINITY

  constructor(lookAgain: (() => Promise<readonly Candidate[]>) | undefined, patienceMs: number) {
    this.#lookAgain = lookAgain
    this.#patienceMs = patienceMs
  }

  next(waiting: boolean, nowMs: number): 'go-on' | 'look' | 'give-up' {
    if (!waiting) {
      this.#sinceMs = undefined
      return 'go-on'
    }
    this.#sinceMs ??= nowMs
    if (nowMs - this.#sinceMs >= this.#patienceMs) return 'give-up'
    if (nowMs - this.#lookedMs < lookAgainMs) return 'go-on'
    this.#lookedMs = nowMs
    return 'look'
  }

  /** Never rejects. */
  async look(): Promise<readonly Candidate[]> {
    try {
      return (await this.#lookAgain?.()) ?? []
    } catch {
      return []
    }
  }
}
