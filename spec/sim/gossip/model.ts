import { seededRng } from '../random.ts'
import type { GossipCosts } from './costs.ts'
import { differenceOf, type GossipCounts } from './gossip-counts.ts'
import type { Observation } from './observation.ts'
import { GossipOverlay } from './overlay.ts'
import { drawTopology } from './topology.ts'

/** As `RealOverlay` waits before a load and after it. */
const settleMs = 2_500
const quietMs = 4_500
const givenUpMs = 60_000

/** As many messages in the same time in the model, all nodes on one core as in one process. */
export function playModel(
  { nodes, topologySeed, sizeBytes, durationMs, messages }: Omit<Observation, 'spread' | 'counts'>,
  costs: GossipCosts,
  seed: number,
): { readonly delays: readonly (readonly number[])[]; readonly counts: GossipCounts } {
  const rng = seededRng(seed)
  const times = new Map<number, number[]>()
  const overlay = new GossipOverlay({
    nodes,
    edges: drawTopology(nodes, seededRng(topologySeed)),
    seed,
    costs,
    cores: 'shared',
    onDelivery: (_node, message, atMs) => {
      times.get(message)?.push(atMs)
      return true
    },
  })
  overlay.run(settleMs + quietMs)
  const startMs = overlay.nowMs
  const before = { ...overlay.counts }
  const delays: number[][] = []
  for (let at = 0; at < messages; at++) {
    const startedMs = overlay.nowMs
    const heard: number[] = []
    const message = overlay.publish(Math.floor(rng.next() * nodes), sizeBytes)
    times.set(message, heard)
    overlay.runUntilSpread(message, givenUpMs)
    delays.push(heard.map((atMs) => atMs - startedMs).sort((a, b) => a - b))
    times.delete(message)
    overlay.run(Math.max(overlay.nowMs, startMs + ((at + 1) * durationMs) / messages))
  }
  overlay.run(overlay.nowMs + quietMs)
  return { delays, counts: differenceOf(overlay.counts, before) }
}
