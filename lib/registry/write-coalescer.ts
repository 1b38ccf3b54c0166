import type { BufferPool } from './buffer-pool.ts'

/** Chunks of this size gain nothing from being copied. */
const largeSizeBytes = 64 * 2 ** 10

/**
 * Gathers the small chunks in which a body comes out of TLS (16 KiB a record) into few large writes: each write costs a
 * system call and buffers in TLS. What is gathered leaves when the buffer is full, or once the loop has nothing else at hand.
 */
export class WriteCoalescer {
  readonly #write: (chunk: Uint8Array, done: (error?: Error | null) => void) => boolean
  readonly #pool: BufferPool
  #buffer: Uint8Array | undefined
  #used = 0
  #scheduled = false

  /** `write` passes the chunk on, returns false where that is enough for now, and calls `done` when it has left. */
  constructor(write: (chunk: Uint8Array, done: (error?: Error | null) => void) => boolean, pool: BufferPool) {
    this.#write = write
    this.#pool = pool
  }

  /** Copies the chunk, or passes a large one on, which must not be changed then. False where that is enough for now. */
  push(chunk: Uint8Array): boolean {
    if (chunk.length >= largeSizeBytes) {
      this.flush()
      return this.#write(chunk, () => {})
    }
    let more = true
    for (let offset = 0; offset < chunk.length; ) {
      this.#buffer ??= this.#pool.take()
      const part = chunk.subarray(offset, offset + this.#buffer.length - this.#used)
      this.#buffer.set(part, this.#used)
      this.#used += part.length
      offset += part.length
      if (this.#used === this.#buffer.length) more = this.flush()
    }
    if (this.#used > 0 && !this.#scheduled) {
      this.#scheduled = true
      setImmediate(() => {
        this.#scheduled = false
        this.flush()
      })
    }
    return more
  }

  /** Passes on what was gathered. */
  flush(): boolean {
    const buffer = this.#buffer
    if (buffer === undefined || this.#used === 0) return true
    const chunk = buffer.subarray(0, this.#used)
    this.#buffer = undefined
    this.#used = 0
    return this.#write(chunk, (error) => {
      // After an error the connection may still hold the bytes.
      if (error === undefined || error === null) this.#pool.give(buffer)
    })
  }
}
