import type { Rng } from '../core/ports.ts'

/** `amount` different numbers out of 0…`total` - 1, each set equally likely, ascending (Floyd, CACM 30(9), 1987). */
export function sampleRanks(total: number, amount: number, rng: Rng): number[] {
  if (amount >= total) return Array.from({ length: total }, (_, rank) => rank)
  const chosen: number[] = []
  const taken = amount > 32 ? new Set<number>() : undefined
  for (let last = total - amount; last < total; last += 1) {
    let rank = Math.floor(rng.next() * (last + 1))
    if (taken === undefined ? chosen.includes(rank) : taken.has(rank)) rank = last
    taken?.add(rank)
    chosen.push(rank)
    if (taken !== undefined) continue
    for (let place = chosen.length - 1; place > 0 && chosen[place - 1]! > rank; place -= 1) {
      chosen[place] = chosen[place - 1]!
      chosen[place - 1] = rank
    }
  }
  return taken === undefined ? chosen : chosen.sort((a, b) => a - b)
}
