import type { PeerId } from '../../../lib/core/peer-id.ts'
import { Claimant } from '../../../lib/flights/claimant.ts'
import type { ClaimantEffect, ClaimantEvent } from '../../../lib/flights/claimant-events.ts'
import { type FlightKey, keyText } from '../../../lib/flights/flight-key.ts'
import type { FlightMessage, Progress } from '../../../lib/flights/messages.ts'
import { chooseStewards, contender } from '../../../lib/flights/rendezvous.ts'
import { defaultFlightSettings } from '../../../lib/flights/settings.ts'
import { Steward } from '../../../lib/flights/steward.ts'
import { digestOf, key, peer } from '../../flights/support.ts'
import { EventQueue } from '../event-queue.ts'
import { seededRng } from '../random.ts'
import { Pauses } from './pauses.ts'

const stepBytes = 2 ** 20
/** The manifest comes before the blob, and takes no time beside it. */
const manifest: FlightKey = { registry: key.registry, digest: digestOf('manifest') }
const manifestMs = 50

export interface SwarmOptions {
  readonly nodes: number
  readonly sizeBytes: number
  /** Bytes a second that upstream gives in all, and that each node can send and receive. */
  readonly upstreamRate: number
  readonly linkRate: number
  /** All nodes want it within this time. */
  readonly spreadMs?: number
  readonly lossRate?: number
  readonly delayMs?: number
  readonly tickMs?: number
  readonly zones?: number
  /** Each node gets no processor now and then, for up to this long, and half of all time. */
  readonly pauseMs?: number
  readonly seed: number
}

type Source = 'none' | 'upstream' | SwarmNode

/** A node with its containerd's download, as far as flights see it. */
export interface SwarmNode {
  readonly index: number
  readonly peerId: PeerId
  readonly claimant: Claimant
  readonly steward: Steward
  alive: boolean
  wanted: boolean
  source: Source
  offset: number
  doneMs: number | undefined
  /** When its present source brought a byte last. */
  grewMs: number
  lost: PeerId[]
  messages: number
  upstreamBytes: number
  /** Most steps to the one that has it from upstream, seen while it downloaded. */
  depth: number
}

/**
 * Many nodes that want one blob at once: the real stewards and claimants over messages that are delayed and lost, and downloads
 * as flows that share links evenly and show in steps, as containerd's do, unless they come from a node.
 */
export class Swarm {
  readonly nodes: readonly SwarmNode[]
  readonly #options: SwarmOptions
  readonly #queue = new EventQueue<never>()
  readonly #byPeer = new Map<PeerId, SwarmNode>()
  readonly #rng
  readonly #wakes = new Map<SwarmNode, number>()
  readonly #pauses: Pauses
  #nowMs = 0
  #upstreamCut = false

  constructor(options: SwarmOptions) {
    this.#options = options
    this.#rng = seededRng(options.seed)
    this.#pauses = new Pauses(options.nodes, options.pauseMs ?? 0, options.seed)
    const contenders = Array.from({ length: options.nodes }, (_, index) => contender(peer(index)))
    const chosen = new Map<string, PeerId[]>()
    const stewardsOf = (of: FlightKey): PeerId[] => {
      const text = keyText(of)
      const known = chosen.get(text) ?? chooseStewards(contenders, text, 2)
      chosen.set(text, known)
      return known.filter((peerId) => this.#byPeer.get(peerId)?.alive !== false)
    }
    this.#stewardsOf = stewardsOf
    const holds = (peerId: PeerId, of: FlightKey): boolean =>
      of.digest === key.digest && this.#byPeer.get(peerId)?.doneMs !== undefined
    this.nodes = contenders.map(({ peerId }, index) => ({
      index,
      peerId,
      claimant: new Claimant(defaultFlightSettings, {
        stewardOf: (of) => stewardsOf(of)[0],
        isHeld: (of) => holds(peerId, of),
      }),
      steward: new Steward(defaultFlightSettings),
      alive: true,
      wanted: false,
      source: 'none',
      offset: 0,
      doneMs: undefined,
      grewMs: 0,
      lost: [],
      messages: 0,
      upstreamBytes: 0,
      depth: 0,
    }))
    for (const node of this.nodes) this.#byPeer.set(node.peerId, node)
    for (const node of this.nodes) {
      this.#queue.push(this.#rng.next() * (options.spreadMs ?? 500), () => this.#begin(node))
    }
  }

  readonly #stewardsOf: (of: FlightKey) => PeerId[]

  get nowMs(): number {
    return this.#nowMs
  }

  get leaders(): SwarmNode[] {
    return this.nodes.filter(
      ({ alive, source, doneMs }) => alive && source === 'upstream' && doneMs === undefined,
    )
  }

  kill(node: SwarmNode): void {
    node.alive = false
    node.source = 'none'
  }

  cutUpstream(cut: boolean): void {
    this.#upstreamCut = cut
  }

  /** Until this time, or until all that live have it. */
  run(untilMs: number): void {
    const { tickMs = 50 } = this.#options
    while (this.#nowMs < untilMs && this.nodes.some(({ alive, doneMs }) => alive && doneMs === undefined)) {
      this.#drain(this.#nowMs + tickMs)
      this.#flow(tickMs)
    }
  }

  /** Time alone passes. */
  settle(untilMs: number): void {
    for (const node of this.nodes) if (node.alive) this.#step(node, { type: 'held', key })
    while (this.#nowMs < untilMs) {
      this.#drain(this.#nowMs + 1000)
      for (const { alive, steward } of this.nodes) if (alive) steward.step({ type: 'tick' }, this.#nowMs)
    }
  }

  #drain(untilMs: number): void {
    for (
      let next = this.#queue.nextMs();
      next !== undefined && next <= untilMs;
      next = this.#queue.nextMs()
    ) {
      this.#nowMs = Math.max(this.#nowMs, next)
      this.#queue.pop()?.run()
    }
    this.#nowMs = untilMs
  }

  #begin(node: SwarmNode): void {
    this.#claim(node, manifest)
  }

  #claim(node: SwarmNode, of = key): void {
    const stewards = this.#stewardsOf(of).map((peerId) => ({
      peerId,
      budgetMs: defaultFlightSettings.claimBudgetMs,
      self: peerId === node.peerId,
    }))
    const seen = of === key ? this.#seen(node) : ({ state: 'open', offset: 0, sizeBytes: 1000 } as const)
    const want = { request: 1, ...of, seen, slots: 4, lost: node.lost, holders: [], stewards } as const
    this.#step(node, { type: 'want', ...want })
  }

  /** What shows of a download: steps, until it is complete. */
  #seen({ offset, doneMs }: SwarmNode): Progress {
    const { sizeBytes } = this.#options
    const shown = doneMs === undefined ? Math.floor(offset / stepBytes) * stepBytes : sizeBytes
    return { state: doneMs === undefined ? 'open' : 'done', offset: shown, sizeBytes }
  }

  /** What children can have of it: what a follower gets passes on at once, what comes from upstream shows in steps. */
  #given(node: SwarmNode): number {
    return typeof node.source === 'object' ? node.offset : this.#seen(node).offset
  }

  #step(node: SwarmNode, event: ClaimantEvent): void {
    if (!node.alive) return
    for (const effect of node.claimant.step(event, this.#nowMs)) this.#perform(node, effect)
    const { wakeAtMs } = node.claimant
    const planned = this.#wakes.get(node)
    if (wakeAtMs === undefined || (planned !== undefined && planned <= wakeAtMs)) return
    this.#wakes.set(node, wakeAtMs)
    this.#queue.push(this.#pauses.runsAt(node.index, Math.max(wakeAtMs, this.#nowMs)), () => {
      if (this.#wakes.get(node) === wakeAtMs) this.#wakes.delete(node)
      this.#step(node, { type: 'wake' })
    })
  }

  #perform(node: SwarmNode, effect: ClaimantEffect): void {
    if (effect.type === 'send') this.#send(node, effect.to, effect.message)
    else if (effect.type === 'look') {
      if (effect.key.digest !== key.digest) return
      // What is whole is a holding from the next look on, with or without children that still take it.
      this.#queue.push(this.#nowMs, () => {
        if (node.doneMs !== undefined) this.#step(node, { type: 'held', key })
        else this.#step(node, { type: 'seen', key, progress: this.#seen(node) })
      })
    } else if (effect.type === 'verdict' && effect.key.digest === manifest.digest) {
      if (effect.parent !== undefined) this.#follow(effect.parent)
      this.#queue.push(this.#nowMs + manifestMs, () => {
        this.#step(node, { type: 'held', key: manifest })
        node.wanted = true
        this.#claim(node)
      })
    } else if (effect.type === 'verdict' && node.doneMs === undefined) {
      const parent = effect.parent === undefined ? undefined : this.#follow(effect.parent)
      node.source = effect.verdict === 'follow' && parent !== undefined ? parent : 'upstream'
      node.grewMs = this.#nowMs
    }
  }

  /** It asks its parent for the bytes. */
  #follow(peerId: PeerId): SwarmNode | undefined {
    const parent = this.#byPeer.get(peerId)
    if (parent !== undefined)
      this.#queue.push(this.#pauses.runsAt(parent.index, this.#nowMs), () =>
        this.#step(parent, { type: 'followed' }),
      )
    return parent
  }

  #send(from: SwarmNode, to: PeerId, message: FlightMessage): void {
    const { lossRate = 0, delayMs = 1 } = this.#options
    from.messages++
    const isLost = to !== from.peerId && this.#rng.next() < lossRate
    const target = this.#byPeer.get(to)
    if (isLost || target === undefined) return
    const delay = to === from.peerId ? 0 : delayMs * (0.5 + this.#rng.next())
    const atMs = this.#pauses.runsAt(target.index, this.#nowMs + delay)
    this.#queue.push(atMs, () => this.#received(target, from.peerId, message))
  }

  #received(node: SwarmNode, from: PeerId, message: FlightMessage): void {
    if (!node.alive) return
    if (message.type !== 'claim' && message.type !== 'progress') {
      this.#step(node, { type: 'message', from, message })
      return
    }
    const zone = `zone-${(this.#byPeer.get(from)?.index ?? 0) % (this.#options.zones ?? 1)}`
    for (const effect of node.steward.step({ type: 'message', from, zone, message }, this.#nowMs)) {
      if (effect.type === 'send') this.#send(node, effect.to, effect.message)
    }
  }

  /** Bytes of one tick: upstream and each uplink are shared evenly by those who can take some. */
  #flow(tickMs: number): void {
    const { sizeBytes, upstreamRate, linkRate } = this.#options
    const running = this.nodes.filter(({ alive, wanted, doneMs }) => alive && wanted && doneMs === undefined)
    const takers = new Map<Source, number>()
    const shown = new Map<SwarmNode, number>()
    for (const node of running) {
      const { source } = node
      if (source === 'none') continue
      if (source !== 'upstream') shown.set(source, this.#given(source))
      const has = source === 'upstream' ? sizeBytes : (shown.get(source) ?? 0)
      if (has > node.offset) takers.set(source, (takers.get(source) ?? 0) + 1)
    }
    for (const node of running)
      this.#advance(node, { takers, shown, tickMs, sizeBytes, upstreamRate, linkRate })
  }

  #advance(
    node: SwarmNode,
    flow: {
      takers: ReadonlyMap<Source, number>
      shown: ReadonlyMap<SwarmNode, number>
      tickMs: number
      sizeBytes: number
      upstreamRate: number
      linkRate: number
    },
  ): void {
    const { source } = node
    if (source === 'none' || (source === 'upstream' && this.#upstreamCut)) return
    if (source !== 'upstream') {
      const isStalled = this.#nowMs - node.grewMs >= defaultFlightSettings.ceilingMs
      const serves = source.doneMs !== undefined || source.claimant.serves(key)
      const dead = isStalled || !source.alive || !serves
      if (dead || node.claimant.watch(key, source.peerId, node.offset, this.#nowMs) === 'lost') {
        node.lost = [...node.lost, source.peerId].slice(-6)
        node.source = 'none'
        this.#claim(node)
        return
      }
    }
    const rate = source === 'upstream' ? flow.upstreamRate : flow.linkRate
    const share = Math.min(rate / (flow.takers.get(source) ?? 1), flow.linkRate) * (flow.tickMs / 1000)
    const has = source === 'upstream' ? flow.sizeBytes : (flow.shown.get(source) ?? 0)
    const bytes = Math.max(0, Math.min(share, has - node.offset))
    node.offset += bytes
    if (source === 'upstream') node.upstreamBytes += bytes
    else node.depth = Math.max(node.depth, depthOf(node))
    if (bytes > 0) node.grewMs = this.#nowMs
    if (node.offset < flow.sizeBytes) return
    node.doneMs = this.#nowMs
    this.#step(node, { type: 'seen', key, progress: this.#seen(node) })
  }
}

function depthOf(node: SwarmNode): number {
  let depth = 0
  for (let at: Source = node; typeof at === 'object' && depth <= 10_000; at = at.source) depth++
  return depth - 1
}

/** What a run came to. */
export function swarmFigures(swarm: Swarm, sizeBytes: number) {
  const done = swarm.nodes.flatMap(({ doneMs }) => doneMs ?? [])
  const upstream = swarm.nodes.reduce((sum, { upstreamBytes }) => sum + upstreamBytes, 0)
  const messages = swarm.nodes.reduce((sum, node) => sum + node.messages, 0)
  return {
    done: done.length,
    makespanMs: Math.max(...done),
    copies: upstream / sizeBytes,
    depth: Math.max(...swarm.nodes.map(({ depth }) => depth)),
    messagesPerNode: messages / swarm.nodes.length,
    mostMessages: Math.max(...swarm.nodes.map((node) => node.messages)),
  }
}
