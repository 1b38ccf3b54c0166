import type { Rng } from '../../../lib/core/ports.ts'
import { defaultNeighbourBounds } from '../../../lib/membership/neighbours.ts'

/** A connection: who dialled, and whom. */
export type Edge = readonly [from: number, to: number]

/**
 * Connections as nodes open them that find one another (`planNeighbours`): in rounds, each with too few dials up to two
 * members that it is not connected to, until all have twelve, or all others.
 */
export function drawTopology(nodes: number, rng: Rng): Edge[] {
  const { minimum, maxDials } = defaultNeighbourBounds
  const wanted = Math.min(minimum, nodes - 1)
  const connected = Array.from({ length: nodes }, () => new Set<number>())
  const edges: Edge[] = []
  for (let isShort = true; isShort; ) {
    isShort = false
    for (let node = 0; node < nodes; node++) {
      for (let dials = 0; dials < maxDials && connected[node]!.size < wanted; dials++) {
        isShort = true
        const other = Math.floor(rng.next() * nodes)
        if (other === node || connected[node]!.has(other)) continue
        connected[node]!.add(other)
        connected[other]!.add(node)
        edges.push([node, other])
      }
    }
  }
  return edges
}
