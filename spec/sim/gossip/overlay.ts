import type { Rng } from '../../../lib/core/ports.ts'
import { shuffled } from '../../../lib/core/shuffled.ts'
import { seededRng } from '../random.ts'
import { Cores } from './cores.ts'
import type { GossipCosts } from './costs.ts'
import { type GossipCounts, noCounts } from './gossip-counts.ts'
import { Mesh } from './mesh.ts'
import { PackedQueue } from './packed-queue.ts'
import { frameSizes, gossipSettings, maxAsksPerHeartbeat, maxRetransmissions } from './settings.ts'
import type { Edge } from './topology.ts'

const { Dlazy, gossipFactor, heartbeatInterval, idontwantMinDataSize, mcacheGossip, mcacheLength } =
  gossipSettings

const kinds = { copy: 0, idontwant: 1, ihave: 2, iwant: 3, graft: 4, prune: 5, heartbeat: 6 } as const
/** Added to the kind of a frame that travels in the same write as the one before it. */
const joined = 8

export interface OverlayOptions {
  readonly nodes: number
  readonly edges: readonly Edge[]
  readonly seed: number
  readonly costs: GossipCosts
  /** All nodes on one core, as in one process, or each on one of its own. */
  readonly cores: 'shared' | 'own'
  /** Of the network, one way, on top of the costs; bytes of the same connection never overtake each other. */
  readonly delayMs?: (rng: Rng) => number
  /** Called when a node has a message for the first time; false: it does not hand it on. */
  readonly onDelivery?: (node: number, message: number, atMs: number) => boolean
}

interface SpreadMessage {
  readonly sizeBytes: number
  readonly seen: Uint8Array
  /** `node · nodes + peer`: the peer told the node that it has it. */
  readonly notWanted: Set<number>
  /** How often a peer has asked a node for it. */
  readonly asked: Map<number, number>
}

/**
 * Gossipsub between many nodes, for one topic, in virtual time: mesh, flooding at the origin, IHAVE and IWANT, IDONTWANT,
 * and what each frame costs the cores of its two ends. `spec/sim/gossip.spec.ts` holds it against the library.
 */
export class GossipOverlay {
  readonly mesh: Mesh
  readonly counts: GossipCounts = noCounts()
  readonly cores: Cores
  /** Bytes that each node has sent, in frames of gossipsub, and in how many writes. */
  readonly sentBytes: Float64Array
  readonly sentWrites: Float64Array
  readonly #options: OverlayOptions
  readonly #rng: Rng
  readonly #queue = new PackedQueue()
  readonly #messages: (SpreadMessage | undefined)[] = []
  /** Of messages, for frames on their way that name several. */
  readonly #lists = new Map<number, { readonly list: readonly number[]; frames: number }>()
  #listed = 0
  /** For each node, what came between two heartbeats, latest first. */
  readonly #history: number[][][]
  /** For each node and link, when the last bytes of that connection arrive. */
  readonly #lastMs: Float64Array[]
  /** For each node and link, the turn in which it was last written to. */
  readonly #turns: Float64Array[]
  #turn = 0
  /** For each node, asks of a peer since the last heartbeat. */
  readonly #asks: Map<number, number>[]
  #nowMs = 0

  constructor(options: OverlayOptions) {
    const { nodes, edges, seed, cores } = options
    this.#options = options
    this.#rng = seededRng(seed)
    this.mesh = new Mesh(nodes, edges, this.#rng)
    this.cores = new Cores(cores === 'shared' ? 1 : nodes)
    this.sentBytes = new Float64Array(nodes)
    this.sentWrites = new Float64Array(nodes)
    this.#history = Array.from({ length: nodes }, () => Array.from({ length: mcacheLength }, () => []))
    this.#lastMs = this.mesh.links.map((links) => new Float64Array(links.length))
    this.#turns = this.mesh.links.map((links) => new Float64Array(links.length))
    this.#asks = Array.from({ length: nodes }, () => new Map())
    for (const [from, to] of edges) {
      for (const [node, peer] of [[to, from] as const, [from, to] as const])
        if (this.mesh.subscribed(node, peer, 0) && this.mesh.grafted(peer, node, 0) === 'prune')
          this.mesh.pruned(node, peer, 0)
    }
    for (let node = 0; node < nodes; node++)
      this.#queue.push(heartbeatInterval * this.#rng.next(), kinds.heartbeat, node, 0, 0)
  }

  get nowMs(): number {
    return this.#nowMs
  }

  /** Publishes now. @returns the number of the message */
  publish(node: number, sizeBytes: number): number {
    const { nodes, costs } = this.#options
    const message = this.#messages.length
    const seen = new Uint8Array(nodes)
    seen[node] = 1
    this.#messages.push({ sizeBytes, seen, notWanted: new Set(), asked: new Map() })
    this.#history[node]![0]!.push(message)
    this.#turn++
    this.cores.work(node, this.#nowMs, costs.publishMs)
    for (const { peer } of this.mesh.links[node]!) this.#sendCopy(node, peer, message)
    return message
  }

  run(untilMs: number): void {
    while (this.#queue.nextMs() <= untilMs) {
      const event = this.#queue.pop()!
      this.#nowMs = event.atMs
      this.#handle(event.kind, event.node, event.peer, event.message)
    }
    this.#nowMs = untilMs
  }

  /** Runs until all nodes have the message, at most so long. @returns whether they have */
  runUntilSpread(message: number, withinMs: number): boolean {
    const endMs = this.#nowMs + withinMs
    while (this.#nowMs < endMs) {
      this.run(this.#nowMs + 20)
      if (this.#messages[message]!.seen.every((has) => has === 1)) return true
    }
    return false
  }

  /** Nothing is kept of a message that has spread. */
  forget(message: number): void {
    this.#messages[message] = undefined
  }

  #handle(kindAndJoined: number, node: number, peer: number, what: number): void {
    this.#turn++
    const kind = kindAndJoined & (joined - 1)
    if (kind === kinds.heartbeat) {
      this.#heartbeat(node)
      return
    }
    const { costs } = this.#options
    this.cores.work(node, this.#nowMs, kindAndJoined >= joined ? costs.joinedMs : costs.receiveMs)
    switch (kind) {
      case kinds.copy:
        this.#receive(node, peer, what)
        break
      case kinds.idontwant:
        this.#messages[what]?.notWanted.add(node * this.#options.nodes + peer)
        break
      case kinds.ihave:
        this.#hearOf(node, peer, this.#takeList(what))
        break
      case kinds.iwant:
        this.#answer(node, peer, this.#takeList(what))
        break
      case kinds.graft:
        if (this.mesh.grafted(node, peer, this.#nowMs) === 'prune') this.#tellMesh(node, peer, 'prune')
        break
      case kinds.prune:
        this.mesh.pruned(node, peer, this.#nowMs)
        break
    }
  }

  #receive(node: number, peer: number, message: number): void {
    const { costs, nodes, onDelivery } = this.#options
    const spread = this.#messages[message]
    if (spread === undefined) return
    const kibibytes = spread.sizeBytes / 1024
    const doneMs = this.cores.work(node, this.#nowMs, kibibytes * costs.kibibyteMs)
    if (spread.seen[node] === 1) return
    spread.seen[node] = 1
    if (onDelivery?.(node, message, doneMs) === false) return
    this.#history[node]![0]!.push(message)
    this.cores.work(node, this.#nowMs, costs.firstMs)
    const links = this.mesh.links[node]!
    if (spread.sizeBytes >= idontwantMinDataSize) {
      for (const link of links) {
        if (!link.inMesh || link.peer === peer) continue
        this.counts.idontwant++
        this.#send(kinds.idontwant, node, link.peer, message, frameSizes.idontwant)
      }
    }
    for (const link of links) {
      if (!link.inMesh || link.peer === peer || spread.notWanted.has(node * nodes + link.peer)) continue
      this.#sendCopy(node, link.peer, message)
    }
  }

  #hearOf(node: number, peer: number, list: readonly number[]): void {
    const lacking = list.filter((message) => this.#messages[message]?.seen[node] === 0)
    if (lacking.length === 0) return
    this.counts.iwant++
    const sizeBytes = frameSizes.control + lacking.length * frameSizes.id
    this.#lists.set(this.#listed, { list: lacking, frames: 1 })
    this.#send(kinds.iwant, node, peer, this.#listed++, sizeBytes)
  }

  #answer(node: number, peer: number, list: readonly number[]): void {
    const asks = (this.#asks[node]!.get(peer) ?? 0) + 1
    this.#asks[node]!.set(peer, asks)
    if (asks > maxAsksPerHeartbeat) return
    const key = node * this.#options.nodes + peer
    for (const message of list) {
      const spread = this.#messages[message]
      if (spread === undefined || spread.notWanted.has(key)) continue
      const times = (spread.asked.get(key) ?? 0) + 1
      spread.asked.set(key, times)
      if (times <= maxRetransmissions) this.#sendCopy(node, peer, message)
    }
  }

  #heartbeat(node: number): void {
    const { costs } = this.#options
    this.#queue.push(this.#nowMs + heartbeatInterval, kinds.heartbeat, node, 0, 0)
    this.cores.work(node, this.#nowMs, costs.heartbeatMs)
    this.#asks[node]!.clear()
    const changes: [number, 'graft' | 'prune'][] = []
    this.mesh.heartbeat(node, this.#nowMs, (peer, what) => changes.push([peer, what]))
    const history = this.#history[node]!
    const list = history.slice(0, mcacheGossip).flat()
    if (list.length > 0) {
      const outside = this.mesh.outside(node)
      const told = shuffled(outside, this.#rng).slice(0, Math.max(Dlazy, gossipFactor * outside.length))
      const sizeBytes = frameSizes.ihave + list.length * frameSizes.id
      this.#lists.set(this.#listed, { list, frames: told.length })
      for (const peer of told) this.#send(kinds.ihave, node, peer, this.#listed, sizeBytes)
      this.counts.ihave += told.length
      this.#listed++
    }
    for (const [peer, what] of changes) this.#tellMesh(node, peer, what)
    history.unshift([])
    history.length = mcacheLength
  }

  #tellMesh(node: number, peer: number, what: 'graft' | 'prune'): void {
    this.counts[what]++
    this.#send(kinds[what], node, peer, 0, frameSizes[what])
  }

  #sendCopy(node: number, peer: number, message: number): void {
    const { sizeBytes } = this.#messages[message]!
    this.counts.copies++
    this.#send(kinds.copy, node, peer, message, sizeBytes + frameSizes.message)
  }

  #takeList(id: number): readonly number[] {
    const entry = this.#lists.get(id)!
    if (--entry.frames === 0) this.#lists.delete(id)
    return entry.list
  }

  /** Frames of one turn to one peer leave in one write, and arrive in one read (see `GossipCosts`). */
  #send(kind: number, node: number, peer: number, what: number, sizeBytes: number): void {
    const { costs, delayMs } = this.#options
    this.counts.bytes += sizeBytes
    this.sentBytes[node]! += sizeBytes
    const at = this.mesh.links[node]!.findIndex((link) => link.peer === peer)
    const isJoined = this.#turns[node]![at] === this.#turn
    this.#turns[node]![at] = this.#turn
    if (!isJoined) this.sentWrites[node]!++
    const costMs = (isJoined ? costs.joinedMs : costs.sendMs) + (sizeBytes / 1024) * costs.kibibyteMs
    const leavesMs = this.cores.work(node, this.#nowMs, costMs)
    const lastMs = this.#lastMs[node]!
    const arrivesMs = isJoined ? leavesMs : leavesMs + costs.hopMs + (delayMs?.(this.#rng) ?? 0)
    lastMs[at] = Math.max(lastMs[at]!, arrivesMs)
    this.#queue.push(lastMs[at]!, isJoined ? kind + joined : kind, peer, node, what)
  }
}
