import type { Clock, Logger } from '../core/ports.ts'

const windowMs = 60_000
const maxKeys = 256

/**
 * Lets the first warning of each key through in a minute and says with the next one how many were held back: what
 * strangers send must not fill the log.
 */
export class ThrottledLog {
  readonly #logger: Logger
  readonly #clock: Clock
  readonly #keys = new Map<string, { sinceMs: number; suppressed: number }>()

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger
    this.#clock = clock
  }

  /** `fields` is called only when the line is written. Keys must come from a small closed set. */
  warn(key: string, message: string, fields: () => object): void {
    const nowMs = this.#clock.monotonicMs()
    const known = this.#keys.get(key)
    if (known !== undefined && nowMs - known.sinceMs < windowMs) {
      known.suppressed++
      return
    }
    if (known === undefined && this.#keys.size >= maxKeys) return
    this.#keys.set(key, { sinceMs: nowMs, suppressed: 0 })
    const suppressed = known?.suppressed ?? 0
    this.#logger.warn(suppressed === 0 ? fields() : { ...fields(), suppressed }, message)
  }
}
