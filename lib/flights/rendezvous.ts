import { hash } from 'node:crypto'
import type { PeerId } from '../core/peer-id.ts'

/** A member with the number that stands for it in the hashing. */
export interface Contender {
  readonly peerId: PeerId
  readonly seed: number
}

export function contender(peerId: PeerId): Contender {
  return { peerId, seed: seedOf(peerId) }
}

/**
 * The `count` stewards of a key, first choice first, by highest random weight (Thaler and Ravishankar, "Using name-based
 * mappings to increase hit rates", 1998): all who know the same members name the same, and a member that goes moves
 * only its own keys.
 */
export function chooseStewards(contenders: readonly Contender[], key: string, count: number): PeerId[] {
  const keySeed = seedOf(key)
  const best: { peerId: PeerId; weight: number }[] = []
  for (const { peerId, seed } of contenders) {
    const weight = mix(seed, keySeed)
    const last = best.at(-1)
    if (best.length === count && last !== undefined && !isAhead(weight, peerId, last)) continue
    const at = best.findIndex((other) => isAhead(weight, peerId, other))
    best.splice(at === -1 ? best.length : at, 0, { peerId, weight })
    if (best.length > count) best.pop()
  }
  return best.map(({ peerId }) => peerId)
}

function isAhead(weight: number, peerId: PeerId, other: { peerId: PeerId; weight: number }): boolean {
  return weight === other.weight ? peerId < other.peerId : weight > other.weight
}

function seedOf(text: string): number {
  return Number.parseInt(hash('sha256', text, 'hex').slice(0, 8), 16)
}

/** Two rounds of a multiply-and-shift finaliser over 32 bits: each bit of the result depends on all of both seeds. */
function mix(a: number, b: number): number {
  let value = (a ^ Math.imul(b, 0x9e3779b1)) >>> 0
  for (let round = 0; round < 2; round++) {
    value = Math.imul(value ^ (value >>> 16), 0x21f0aaad)
    value = Math.imul(value ^ (value >>> 15), 0x735a2d97)
    value = (value ^ (value >>> 15) ^ b) >>> 0
  }
  return value >>> 0
}
