import type { PeerId } from '../core/peer-id.ts'
import type { Rng } from '../core/ports.ts'
import { shuffled } from '../core/shuffled.ts'

/** A live member that could be a neighbour. */
export interface NeighbourCandidate {
  readonly peerId: PeerId
  /** Registries that it mirrors, where known. */
  readonly registries: readonly string[] | undefined
}

export interface NeighbourBounds {
  readonly minimum: number
  readonly maximum: number
  /** So many of each registry that both mirror. */
  readonly perRegistry: number
  /** Dials in one plan; the rest waits for the next. */
  readonly maxDials: number
}

/** DESIGN §5: 12 to 24 connections, six for each registry. */
export const defaultNeighbourBounds: NeighbourBounds = Object.freeze({
  minimum: 12,
  maximum: 24,
  perRegistry: 6,
  maxDials: 2,
})

export interface NeighbourPlan {
  readonly dial: readonly PeerId[]
  readonly drop: readonly PeerId[]
}

/**
 * Which connections to open and to close. Every registry of ours gets min(6, all) neighbours that mirror it, at least
 * min(12, all) there are in all, and what is beyond 24 and needed for no registry is dropped. Within the bounds nothing
 * changes, so that two nodes don't undo each other's choice.
 * @param connected peers with an open connection; those that are no candidates (strangers, the dead) are left alone
 */
export function planNeighbours(
  candidates: readonly NeighbourCandidate[],
  connected: ReadonlySet<PeerId>,
  registries: readonly string[],
  rng: Rng,
  bounds: NeighbourBounds = defaultNeighbourBounds,
): NeighbourPlan {
  const order = shuffled(candidates, rng)
  const kept = new Set(order.filter(({ peerId }) => connected.has(peerId)).map(({ peerId }) => peerId))
  const dial = new Set<PeerId>()
  const needed = new Set<PeerId>()
  const addUpTo = (count: number, among: readonly NeighbourCandidate[]): void => {
    let has = among.filter(({ peerId }) => kept.has(peerId) || dial.has(peerId)).length
    for (const { peerId } of among) {
      if (has >= count || dial.size >= bounds.maxDials) return
      if (kept.has(peerId) || dial.has(peerId)) continue
      dial.add(peerId)
      has++
    }
  }
  for (const registry of registries) {
    const mirrors = order.filter((candidate) => candidate.registries?.includes(registry))
    addUpTo(bounds.perRegistry, mirrors)
    const held = mirrors.filter(({ peerId }) => kept.has(peerId))
    for (const { peerId } of held.slice(0, bounds.perRegistry)) needed.add(peerId)
  }
  addUpTo(bounds.minimum, order)
  const spare = [...kept].filter((peerId) => !needed.has(peerId))
  const surplus = Math.max(0, kept.size + dial.size - bounds.maximum)
  return { dial: [...dial], drop: spare.slice(0, surplus) }
}
