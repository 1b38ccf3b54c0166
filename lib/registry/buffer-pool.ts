/** Buffers of one size that are used again; at most `maxIdle` are kept while nobody uses them. */
export class BufferPool {
  readonly #sizeBytes: number
  readonly #maxIdle: number
  readonly #idle: Uint8Array[] = []

  constructor(sizeBytes: number, maxIdle: number) {
    this.#sizeBytes = sizeBytes
    this.#maxIdle = maxIdle
  }

  /** A buffer with any content. */
  take(): Uint8Array {
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(this.#sizeBytes)
  }

  /** Nobody may use the buffer after this. */
  give(buffer: Uint8Array): void {
    if (this.#idle.length < this.#maxIdle) this.#idle.push(buffer)
  }
}
