const wordBits = 32

/**
 * Remembers which of the last counters of one sender were seen (the anti-replay window of RFC 4303 §3.4.3). What is older
 * than the window counts as seen.
 */
export class ReplayWindow {
  readonly #words: Uint32Array
  readonly #size: number
  #top = -1

  /** @param size number of counters, a multiple of 32 */
  constructor(size = 512) {
    this.#size = size
    this.#words = new Uint32Array(size / wordBits)
  }

  seen(counter: number): boolean {
    if (counter > this.#top) return false
    if (counter <= this.#top - this.#size) return true
    const at = counter % this.#size
    return ((this.#words[Math.floor(at / wordBits)] as number) & (1 << (at % wordBits))) !== 0
  }

  mark(counter: number): void {
    if (counter <= this.#top - this.#size) return
    if (counter > this.#top) {
      if (counter - this.#top >= this.#size) this.#words.fill(0)
      else for (let next = this.#top + 1; next < counter; next += 1) this.#clear(next % this.#size)
      this.#top = counter
    }
    const at = counter % this.#size
    const word = Math.floor(at / wordBits)
    this.#words[word] = (this.#words[word] as number) | (1 << (at % wordBits))
  }

  #clear(at: number): void {
    const word = Math.floor(at / wordBits)
    this.#words[word] = (this.#words[word] as number) & ~(1 << (at % wordBits))
  }
}
