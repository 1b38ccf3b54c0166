import type { Rng } from '../core/ports.ts'

/** `amount` different numbers out of 0…`total` - 1, each set equally likely, ascending (Floyd, CACM 30(9), 1987). */
export function sampleRanks(total: number, amount: number, rng: Rng): number[] {
  if (amount >= total) return Array.from({ length: total }, (_, rank) => rank)
  const chosen = new Set<number>()
  for (let last = total - amount; last < total; last += 1) {
    const rank = Math.floor(rng.next() * (last + 1))
    chosen.add(chosen.has(rank) ? last : rank)
  }
  return [...chosen].sort((a, b) => a - b)
}
