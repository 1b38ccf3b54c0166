/** What little is said leaves at once; beyond that it waits this long for company. */
const intervalMs = 5
const maxItems = 64

/**
 * Gathers what a busy thread has to tell into few messages, in order: each message wakes the other thread, which costs more than
 * what is in it. Nothing waits while less than one item in 5 ms comes.
 */
export class MessageBatch<T> {
  readonly #send: (items: readonly T[]) => void
  #items: T[] = []
  #sentMs = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined

  constructor(send: (items: readonly T[]) => void) {
    this.#send = send
  }

  push(item: T): void {
    this.#items.push(item)
    const sinceMs = performance.now() - this.#sentMs
    if (sinceMs >= intervalMs || this.#items.length >= maxItems) this.flush()
    else this.#timer ??= setTimeout(() => this.flush(), intervalMs - sinceMs)
  }

  /** Sends what waits, if anything does. */
  flush(): void {
    if (this.#timer !== undefined) {
      clearTimeout(this.#timer)
      this.#timer = undefined
    }
    if (this.#items.length === 0) return
    const items = this.#items
    this.#items = []
    this.#sentMs = performance.now()
    this.#send(items)
  }
}
