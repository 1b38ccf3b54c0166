import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Below a few MiB the collections cost more than they save, above it V8 begins to mark. */
const stepBytes = 2 * 2 ** 20

/**
 * Frees the chunks in which bodies come from peers soon after they were passed on. Each is a buffer of its own outside of the
 * heap: V8 counts its bytes to the old generation, so that on its own it marks the whole heap every 8 MiB or so, in threads of its
 * own, which took half of the processor time of a transfer; collecting the young generation takes a fraction of a millisecond.
 */
export class ChunkGarbage {
  readonly #collect = minorCollection()
  #bytes = 0

  /** To be called for each chunk, before it is passed on. */
  received(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes < stepBytes) return
    this.#bytes = 0
    this.#collect()
  }
}

/** Node gives this function only to programs that were started with a flag, and to contexts that are made while it is set. */
function minorCollection(): () => void {
  setFlagsFromString('--expose-gc')
  try {
    const collect: unknown = runInNewContext('globalThis.gc')
    return typeof collect === 'function' ? () => collect({ type: 'minor' }) : () => {}
  } finally {
    setFlagsFromString('--no-expose-gc')
  }
}
