import type { Rng } from '../../../lib/core/ports.ts'
import { shuffled } from '../../../lib/core/shuffled.ts'
import { gossipSettings } from './settings.ts'
import type { Edge } from './topology.ts'

const { D, Dlo, Dhi, Dout, pruneBackoff } = gossipSettings

/** One peer of a node. */
interface Link {
  readonly peer: number
  /** This node dialled it. */
  readonly isOutbound: boolean
  inMesh: boolean
  backoffUntilMs: number
}

/** What a node tells a peer about their link. */
export type MeshMessage = 'graft' | 'prune'

/**
 * The mesh of one topic as gossipsub keeps it: who grafts and prunes whom when subscriptions, grafts and prunes arrive
 * and at each heartbeat. Nobody's score ever differs from another's here, so what depends on scores is left out.
 */
export class Mesh {
  readonly links: readonly (readonly Link[])[]
  readonly #rng: Rng

  constructor(nodes: number, edges: readonly Edge[], rng: Rng) {
    const links: Link[][] = Array.from({ length: nodes }, () => [])
    for (const [from, to] of edges) {
      links[from]!.push({ peer: to, isOutbound: true, inMesh: false, backoffUntilMs: 0 })
      links[to]!.push({ peer: from, isOutbound: false, inMesh: false, backoffUntilMs: 0 })
    }
    this.links = links
    this.#rng = rng
  }

  sizeOf(node: number): number {
    let size = 0
    for (const link of this.links[node]!) if (link.inMesh) size++
    return size
  }

  /** The peer's subscription arrived; true where it is grafted at once, and must be told. */
  subscribed(node: number, peer: number, nowMs: number): boolean {
    const link = this.#link(node, peer)
    if (link.inMesh || this.sizeOf(node) >= Dlo || link.backoffUntilMs > nowMs) return false
    link.inMesh = true
    return true
  }

  /** The peer has grafted this node; what it is answered. */
  grafted(node: number, peer: number, nowMs: number): MeshMessage | undefined {
    const link = this.#link(node, peer)
    if (link.inMesh) return undefined
    const isRefused = link.backoffUntilMs > nowMs || (this.sizeOf(node) >= Dhi && !link.isOutbound)
    if (isRefused) {
      link.backoffUntilMs = nowMs + pruneBackoff
      return 'prune'
    }
    link.inMesh = true
    return undefined
  }

  pruned(node: number, peer: number, nowMs: number): void {
    const link = this.#link(node, peer)
    link.inMesh = false
    link.backoffUntilMs = nowMs + pruneBackoff
  }

  /** Maintenance; `tell` is called with what peers must hear. */
  heartbeat(node: number, nowMs: number, tell: (peer: number, what: MeshMessage) => void): void {
    const links = this.links[node]!
    let size = this.sizeOf(node)
    const graft = (wanted: number, isFit: (link: Link) => boolean): void => {
      const fit = links.filter((link) => !link.inMesh && link.backoffUntilMs <= nowMs && isFit(link))
      for (const link of shuffled(fit, this.#rng).slice(0, Math.max(0, wanted))) {
        link.inMesh = true
        size++
        tell(link.peer, 'graft')
      }
    }
    if (size < Dlo) graft(D - size, () => true)
    if (size > Dhi) {
      for (const link of this.#surplus(node)) {
        link.inMesh = false
        link.backoffUntilMs = nowMs + pruneBackoff
        size--
        tell(link.peer, 'prune')
      }
    }
    const outbound = links.filter((link) => link.inMesh && link.isOutbound).length
    if (size >= Dlo && outbound < Dout) graft(Dout - outbound, (link) => link.isOutbound)
  }

  /** Those that are told of messages without having them sent: all peers outside the mesh. */
  outside(node: number): number[] {
    return this.links[node]!.filter((link) => !link.inMesh).map(({ peer }) => peer)
  }

  /** Beyond D, with enough outbound ones kept. */
  #surplus(node: number): Link[] {
    const order = shuffled(
      this.links[node]!.filter((link) => link.inMesh),
      this.#rng,
    )
    const outbound = order.filter((link) => link.isOutbound).slice(0, Dout)
    const kept = new Set([...new Set([...outbound, ...order])].slice(0, D))
    return order.filter((link) => !kept.has(link))
  }

  #link(node: number, peer: number): Link {
    const found = this.links[node]!.find((link) => link.peer === peer)
    if (found === undefined) throw new Error(`${node} has no connection to ${peer}`)
    return found
  }
}
