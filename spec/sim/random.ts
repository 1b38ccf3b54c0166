import type { Rng } from '../../lib/core/ports.ts'

/** A seeded generator of 32-bit state words (sfc32 by Chris Doty-Humphrey): equal seeds give equal runs. */
export function seededRng(seed: number): Rng {
  let a = 0x9e3779b9
  let b = 0x243f6a88
  let c = seed >>> 0
  let counter = Math.floor(seed / 2 ** 32) | 1
  const word = (): number => {
    const sum = (a + b + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + sum) | 0
    return sum >>> 0
  }
  for (let round = 0; round < 16; round++) word()
  return { next: () => word() / 2 ** 32 }
}

/**
 * The seed of a simulation: that of the environment variable `STARLING_SIM_SEED` where it is set, else `fallback`.
 * Print it with the outcome, so that a failure can be repeated.
 */
export function simulationSeed(fallback: number, environment: NodeJS.ProcessEnv = process.env): number {
  const text = environment.STARLING_SIM_SEED
  if (text === undefined || text === '') return fallback
  const seed = Number(text)
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new Error(`STARLING_SIM_SEED=${text} is not a whole number`)
  return seed
}
