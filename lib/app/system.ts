import { randomBytes } from 'node:crypto'
import type { Clock, Rng } from '../core/ports.ts'

/** The machine's clock behind the port; `monotonicMs` is CLOCK_MONOTONIC, which stands still while a machine sleeps. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
}

/** Uniform numbers from the operating system's generator: neighbours must not be guessable from outside. */
export function createSystemRng(): Rng {
  const pool = new Uint32Array(256)
  let used = pool.length
  return {
    next() {
      if (used === pool.length) {
        pool.set(new Uint32Array(Uint8Array.from(randomBytes(pool.byteLength)).buffer))
        used = 0
      }
      const value = pool[used] ?? 0
      used += 1
      return value / 2 ** 32
    },
  }
}
