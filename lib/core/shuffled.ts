import type { Rng } from './ports.ts'

/** The items in an order of chance (Fisher and Yates), in a new array. */
export function shuffled<T>(items: readonly T[], rng: Rng): T[] {
  const result = [...items]
  for (let index = result.length - 1; index > 0; index--) {
    const other = Math.floor(rng.next() * (index + 1))
    const moved = result[index]!
    result[index] = result[other]!
    result[other] = moved
  }
  return result
}
