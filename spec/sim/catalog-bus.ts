import type { PeerId } from '../../lib/core/peer-id.ts'
import { measuredCosts } from './gossip/costs.ts'
import { GossipOverlay } from './gossip/overlay.ts'
import { drawTopology } from './gossip/topology.ts'
import { segmentDelayMs } from './network-model.ts'
import { seededRng } from './random.ts'
import type { Hearer, SimCatalog } from './sim-catalog.ts'

/** Carries the deltas of simulated catalogs over the model of gossipsub; nothing of it is ever lost. */
export class GossipBus {
  readonly #nodes: readonly SimCatalog[]
  readonly #overlay: GossipOverlay
  readonly #messages: { readonly registry: string; readonly bytes: Uint8Array; readonly from: PeerId }[] = []

  constructor(nodes: readonly SimCatalog[], seed: number, hear: Hearer) {
    this.#nodes = nodes
    this.#overlay = new GossipOverlay({
      nodes: nodes.length,
      edges: drawTopology(nodes.length, seededRng(seed)),
      seed,
      costs: measuredCosts,
      cores: 'own',
      delayMs: (rng) => segmentDelayMs(rng, 0),
      onDelivery: (number, message) => {
        const { registry, from, bytes } = this.#messages[message]!
        return hear(nodes[number]!, registry, from, bytes) === 'accept'
      },
    })
  }

  /** Bytes that all nodes have sent, in frames of gossipsub. */
  get sentBytes(): number {
    return this.#overlay.counts.bytes
  }

  publish(node: SimCatalog, registry: string, bytes: Uint8Array): void {
    const message = this.#overlay.publish(this.#nodes.indexOf(node), bytes.length)
    this.#messages[message] = { registry, bytes, from: node.identity.peerId }
  }

  run(untilMs: number): void {
    this.#overlay.run(untilMs)
  }

  /** Those that the node has a connection to. */
  neighboursOf(node: SimCatalog): SimCatalog[] {
    return this.#overlay.mesh.links[this.#nodes.indexOf(node)]!.map(({ peer }) => this.#nodes[peer]!)
  }
}
