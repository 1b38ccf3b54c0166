/** Of what is idle this much is kept for good. */
const fewBuffers = 8
/** Buffers that nobody has taken or given for this long are not needed again soon. */
const releaseAfterMs = 5000

/**
 * Buffers of one size that are used again; at most `maxIdle` are kept while nobody uses them, and few of them for long. What is
 * dropped costs twice: V8 frees old buffers only by marking its whole heap.
 */
export class BufferPool {
  readonly #sizeBytes: number
  readonly #maxIdle: number
  readonly #idle: Uint8Array[] = []
  #timer: NodeJS.Timeout | undefined

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
    if (this.#idle.length >= this.#maxIdle) return
    this.#idle.push(buffer)
    if (this.#timer !== undefined) this.#timer.refresh()
    else if (this.#idle.length > fewBuffers) this.#releaseLater()
  }

  get idle(): number {
    return this.#idle.length
  }

  #releaseLater(): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#idle.splice(fewBuffers)
    }, releaseAfterMs)
    this.#timer.unref()
  }
}
