import { setImmediate as turn } from 'node:timers/promises'
import type { EpochStore } from '../../lib/app/catalog/epoch.ts'
import { createCatalogService } from '../../lib/app/catalog/service.ts'
import { type Checkpoint, compareAge, sameBytes } from '../../lib/catalog/checkpoint.ts'
import { decodeDelta } from '../../lib/catalog/delta.ts'
import { decodeAnswer } from '../../lib/catalog/sync-answer.ts'
import type { MirrorSet } from '../../lib/core/cluster.ts'
import { StarlingError } from '../../lib/core/errors.ts'
import type { BroadcastBus, BroadcastVerdict, PeerRpc } from '../../lib/core/messaging.ts'
import { type PeerId, peerIdFromPublicKey } from '../../lib/core/peer-id.ts'
import type { Logger, Metrics } from '../../lib/core/ports.ts'
import { OfferFilter } from '../../lib/core/reference.ts'
import { makeIdentity } from '../catalog/support.ts'
import { GossipBus } from './catalog-bus.ts'
import { CatalogTrace } from './catalog-trace.ts'
import { FloodBus } from './flood-bus.ts'
import { SimKernel } from './kernel.ts'
import type { Hearer, Life, SimCatalog } from './sim-catalog.ts'

const quiet: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => quiet,
}

const stepMs = 20
/** `tamperRate` is the share of messages that a lying relay changes. */
export interface ClusterOptions {
  readonly nodes: number
  readonly seed: number
  readonly lossRate: number
  readonly tamperRate: number
  readonly mirrors: MirrorSet
  /** Over the model of gossipsub, where no message is lost and partners are neighbours; else messages flood. */
  readonly bus?: 'gossipsub'
}

/**
 * Catalogs over a lossy network in virtual time: the shipped service, with a flooding bus and an RPC whose streams fail
 * where there is no path. Membership is an oracle: who is cut off or killed is masked everywhere after some seconds.
 */
export class CatalogCluster {
  readonly kernel: SimKernel
  readonly nodes: SimCatalog[]
  readonly counts = new Map<string, number>()
  /** Every broken invariant that was seen on the way, in words and with the trace of the node. */
  readonly violations: string[] = []
  readonly trace = new CatalogTrace()
  /** For I6: the newest state that each origin has published in each registry. */
  readonly #published = new Map<string, Checkpoint>()
  readonly #options: ClusterOptions
  readonly gossip: GossipBus | undefined
  readonly #flood: FloodBus
  /** Bytes of requests and answers. */
  requestBytes = 0
  readonly #byPeer = new Map<PeerId, SimCatalog>()
  #nowMs = 0

  constructor(options: ClusterOptions) {
    this.#options = options
    this.kernel = new SimKernel(options.seed, {
      lossRate: options.lossRate,
      duplicateRate: options.lossRate,
      minDelayMs: 1,
      maxDelayMs: 60,
    })
    this.nodes = Array.from({ length: options.nodes }, (_, index) => ({
      name: `n${index}`,
      identity: makeIdentity(`${options.seed} ${index}`),
      epoch: 0,
      life: undefined,
    }))
    for (const node of this.nodes) this.#byPeer.set(node.identity.peerId, node)
    const hear: Hearer = (...heard) => this.#hear(...heard)
    this.#flood = new FloodBus({ cluster: this, tamperRate: options.tamperRate, hear })
    this.gossip = options.bus === undefined ? undefined : new GossipBus(this.nodes, options.seed, hear)
  }

  async boot(node: SimCatalog): Promise<void> {
    const { kernel } = this
    const topics = new Set<string>()
    const bus: BroadcastBus = {
      join: (registry) => topics.add(registry),
      leave: (registry) => topics.delete(registry),
      publish: async (registry, message) => {
        this.#checkPublished(node, registry, message)
        this.#note(node, `publishes ${this.#describe(message)}`)
        const bus = this.gossip ?? this.#flood
        bus.publish(node, registry, message)
      },
      onMessage: (listener) => {
        life.listener = listener
      },
    }
    const rpc: PeerRpc = {
      request: (peer, _protocol, frame) => this.#request(node, peer, frame),
      handle: (_protocol, answer) => {
        life.answer = answer
      },
    }
    const epochs: EpochStore = {
      load: async () => node.epoch,
      save: async (epoch) => {
        node.epoch = epoch
      },
    }
    this.#note(node, `starts, its epoch was ${node.epoch}`)
    this.#flood.forget(node)
    kernel.boot(node.name, (from, bytes) => this.#flood.receive(node, from, bytes))
    const metrics: Metrics = {
      count: (name, labels = {}) => {
        const key = [name, ...Object.values(labels)].join(' ')
        this.counts.set(key, (this.counts.get(key) ?? 0) + 1)
      },
      observe() {},
      set() {},
    }
    const catalog = createCatalogService({
      ...node.identity,
      bus,
      rpc,
      clock: kernel.clockOf(node.name),
      rng: kernel.fork(),
      logger: quiet,
      metrics,
      partners: () => this.#partnersOf(node),
      isAttested: (peerId) => this.#byPeer.has(peerId),
      filter: new OfferFilter(),
      dataDir: '/nonexistent',
      mirrors: this.#options.mirrors,
      epochs,
      timers: {
        after: (delayMs, action) => {
          let cancelled = false
          kernel.scheduleFor(node.name, delayMs, () => {
            if (!cancelled) action()
          })
          return () => {
            cancelled = true
          }
        },
        turn: async () => undefined,
      },
    })
    const life: Life = {
      catalog,
      topics,
      listener: () => 'ignore',
      answer: undefined,
      shown: new Map(),
    }
    node.life = life
    for (const other of this.nodes) {
      if (other === node) continue
      if (other.life !== undefined) catalog.setOriginState(other.identity.peerId, 'live')
      other.life?.catalog.setOriginState(node.identity.peerId, 'live')
    }
    await catalog.start()
  }

  async kill(node: SimCatalog): Promise<void> {
    this.kernel.halt(node.name, 'killed')
    this.#note(node, 'is killed')
    const { life } = node
    node.life = undefined
    await life?.catalog.stop()
    for (const other of this.nodes) other.life?.catalog.setOriginState(node.identity.peerId, 'masked')
  }

  /** Cuts the cluster in two; each side soon masks the other. */
  partition(left: readonly SimCatalog[]): void {
    const right = this.nodes.filter((node) => !left.includes(node))
    this.kernel.partition([left.map((node) => node.name), right.map((node) => node.name)])
    this.kernel.schedule(this.#nowMs + 2_000, () => this.#applyPaths())
  }

  heal(): void {
    this.kernel.healAll()
    this.kernel.schedule(this.#nowMs + 1_000, () => this.#applyPaths())
  }

  /** Lets virtual time pass; promises settle every few milliseconds of it. */
  async run(durationMs: number): Promise<void> {
    for (const endMs = this.#nowMs + durationMs; this.#nowMs < endMs; ) {
      this.#nowMs += stepMs
      this.kernel.run(this.#nowMs)
      this.gossip?.run(this.#nowMs)
      await turn()
    }
  }

  async stop(): Promise<void> {
    for (const { life } of this.nodes) await life?.catalog.stop()
  }

  alive(): SimCatalog[] {
    return this.nodes.filter((node) => node.life !== undefined)
  }

  count(key: string): number {
    return this.counts.get(key) ?? 0
  }

  #applyPaths(): void {
    for (const node of this.alive()) {
      for (const other of this.alive()) {
        if (node === other) continue
        const state = this.kernel.isOpen(node.name, other.name) ? 'live' : 'masked'
        node.life?.catalog.setOriginState(other.identity.peerId, state)
      }
    }
  }

  #partnersOf(node: SimCatalog): PeerId[] {
    return (this.gossip?.neighboursOf(node) ?? this.alive())
      .filter(
        (other) => other.life !== undefined && other !== node && this.kernel.isOpen(node.name, other.name),
      )
      .map((other) => other.identity.peerId)
  }

  #hear(node: SimCatalog, registry: string, from: PeerId, message: Uint8Array): BroadcastVerdict | undefined {
    const { life } = node
    if (life === undefined || !life.topics.has(registry)) return undefined
    const verdict = life.listener(registry, from, message)
    this.#note(node, `hears ${this.#describe(message)}: ${verdict}`)
    return verdict
  }

  #request(node: SimCatalog, peer: PeerId, frame: Uint8Array): Promise<Uint8Array[]> {
    const target = this.#byPeer.get(peer)
    return new Promise((resolve, reject) => {
      const fail = () => reject(new StarlingError('PEER_UNREACHABLE', 'no path'))
      const open = () =>
        target?.life !== undefined && this.kernel.connect(node.name, target.name) === 'answered'
      this.kernel.scheduleFor(node.name, this.kernel.delayMs(), () => {
        this.#note(node, `asks ${target?.name}${open() ? '' : ', which is not there'}`)
        if (!open()) return fail()
        const frames = [
          ...((target?.life?.answer?.(node.identity.peerId, frame) ?? []) as Iterable<Uint8Array>),
        ]
        for (const answer of frames) {
          this.#checkShown(target!, answer)
          this.requestBytes += answer.length
        }
        this.requestBytes += frame.length
        this.kernel.scheduleFor(node.name, this.kernel.delayMs(), () => (open() ? resolve(frames) : fail()))
      })
    })
  }

  /** I6 at the origin: what it publishes never runs backwards, not even over restarts. */
  #checkPublished(node: SimCatalog, registry: string, message: Uint8Array): void {
    const delta = decodeDelta(message)
    if (typeof delta === 'string') {
      this.#violated(node, `published something ${delta}`)
      return
    }
    const { checkpoint, change } = delta
    const key = `${node.name} ${registry}`
    const last = this.#published.get(key)
    const age = last === undefined ? 1 : compareAge(checkpoint, last)
    // A bare checkpoint may say again what was said last.
    const again =
      age === 0 && change === undefined && last !== undefined && sameBytes(checkpoint.setHash, last.setHash)
    if (age < 0 || (age === 0 && !again)) {
      const [now, before] = [checkpoint, last].map((at) => `${at?.epoch}.${at?.sequence}`)
      this.#violated(node, `published ${now} of ${registry} after ${before}`)
    }
    this.#published.set(key, checkpoint)
  }

  /** I6 at everybody else: what a node says that it knows of an origin never runs backwards. */
  #checkShown(node: SimCatalog, frame: Uint8Array): void {
    const answer = decodeAnswer(frame)
    if (answer?.kind !== 'comparison' || this.#options.mirrors.names.length !== 1) return
    for (const { shortId, epoch, sequence } of answer.origins) {
      const last = node.life?.shown.get(shortId)
      if (last !== undefined && (epoch < last[0] || (epoch === last[0] && sequence < last[1]))) {
        this.#violated(node, `went back from ${last.join('.')} to ${epoch}.${sequence}`)
      }
      node.life?.shown.set(shortId, [epoch, sequence])
    }
  }

  #violated(node: SimCatalog, what: string): void {
    this.violations.push(`${node.name} ${what}\n${this.trace.of(node.name)}`)
  }

  #note(node: SimCatalog, what: string): void {
    this.trace.add(node.name, this.kernel.nowMs(), what)
  }

  #describe(message: Uint8Array): string {
    const delta = decodeDelta(message)
    if (typeof delta === 'string') return delta
    const origin = this.#byPeer.get(peerIdFromPublicKey(delta.origin))?.name
    const { epoch, sequence } = delta.checkpoint
    return `${delta.change === undefined ? 'the checkpoint' : 'the delta'} ${epoch}.${sequence} of ${origin}`
  }

  /** The disk of a node is lost: its epoch begins at nothing again. */
  loseDisk(node: SimCatalog): void {
    node.epoch = 0
    for (const key of this.#published.keys()) {
      if (key.startsWith(`${node.name} `)) this.#published.delete(key)
    }
  }
}
