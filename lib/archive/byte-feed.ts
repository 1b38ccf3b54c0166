/** Takes exact amounts of bytes from pieces of any size. */
export class ByteFeed {
  readonly #pieces: AsyncIterator<Uint8Array>
  #rest: Uint8Array = new Uint8Array(0)

  constructor(pieces: AsyncIterable<Uint8Array>) {
    this.#pieces = pieces[Symbol.asyncIterator]()
  }

  /** Are there no more bytes? */
  async ended(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const next = await this.#pieces.next()
      if (next.done === true) return true
      this.#rest = next.value
    }
    return false
  }

  /** Exactly `sizeBytes` bytes. @throws Error where there are fewer */
  async take(sizeBytes: number): Promise<Uint8Array> {
    const out = new Uint8Array(sizeBytes)
    let filled = 0
    while (filled < sizeBytes) {
      if (await this.ended()) throw new Error('unexpected end of file')
      const piece = this.#rest.subarray(0, sizeBytes - filled)
      out.set(piece, filled)
      this.#rest = this.#rest.subarray(piece.length)
      filled += piece.length
    }
    return out
  }

  async skip(sizeBytes: number): Promise<void> {
    for (let left = sizeBytes; left > 0; ) {
      if (await this.ended()) throw new Error('unexpected end of file')
      const step = Math.min(left, this.#rest.length)
      this.#rest = this.#rest.subarray(step)
      left -= step
    }
  }
}
