import type { KeyObject } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { AnnouncementPace } from '../../catalog/announcement-pace.ts'
import { publicKeyObject } from '../../catalog/checkpoint.ts'
import { HeldDeltas } from '../../catalog/held-deltas.ts'
import { LocalInventory } from '../../catalog/local-inventory.ts'
import type { OriginEntry } from '../../catalog/origin-table.ts'
import { PendingChanges } from '../../catalog/pending-changes.ts'
import { createReplicaState, type ReplicaState } from '../../catalog/replica-state.ts'
import type { Steps } from '../../catalog/transition.ts'
import type { MirrorSet } from '../../core/cluster.ts'
import type { BroadcastBus, PeerRpc } from '../../core/messaging.ts'
import { type PeerId, publicKeyFromPeerId, shortIdOf } from '../../core/peer-id.ts'
import type { Clock, Logger, Metrics, Rng } from '../../core/ports.ts'
import type { OfferFilter } from '../../core/reference.ts'
import type { EpochStore } from './epoch.ts'
import { type CatalogTimers, runInTurns } from './timers.ts'

export interface CatalogOptions {
  readonly peerId: PeerId
  /** Ed25519 identity of this node: signs its inventories. */
  readonly privateKey: KeyObject
  readonly bus: BroadcastBus
  readonly rpc: PeerRpc
  readonly clock: Clock
  readonly rng: Rng
  readonly logger: Logger
  readonly metrics: Metrics
  /** Live members that mirror a registry, or may do so. */
  readonly partners: (registry: string) => readonly PeerId[]
  readonly isAttested: (peerId: PeerId) => boolean
  readonly filter: OfferFilter
  /** Where the epoch is kept. */
  readonly dataDir: string
  /** The file in which the inventories of the others are kept across a restart; undefined: they are not. */
  readonly memoryPath?: string
  readonly mirrors: MirrorSet
  /** Default: a file in `dataDir`. */
  readonly epochs?: EpochStore
  /** Default: those of Node.js. */
  readonly timers?: CatalogTimers
}

/** A registry that is mirrored now, with all that is kept of it. */
export interface MirroredRegistry {
  readonly name: string
  readonly state: ReplicaState
  /** Own changes that are not announced yet. */
  readonly pending: PendingChanges
  readonly held: HeldDeltas
  /** Epoch of the own inventory here; undefined before it is announced first. */
  epoch: number | undefined
  /** Grows with each change that look-ups can see. */
  version: number
  /** No longer mirrored: whatever still runs for it ends. */
  closed: boolean
}

const maxKeys = 4096
const logEveryMs = 10_000

/** What the parts of the running catalog share. */
export class CatalogContext {
  readonly options: CatalogOptions
  readonly timers: CatalogTimers
  readonly logger: Logger
  readonly local: LocalInventory
  /** Of all registries together: they share the cores. */
  readonly pace = new AnnouncementPace()
  readonly registries = new Map<string, MirroredRegistry>()
  readonly changeListeners = new Set<(registry: string) => void>()
  stopped = false
  readonly #members = new Map<PeerId, 'live' | 'masked'>()
  readonly #byShortId = new Map<string, PeerId>()
  readonly #keys = new LRUCache<PeerId, KeyObject>({ max: maxKeys })
  readonly #loggedMs = new Map<string, number>()

  constructor(options: CatalogOptions, timers: CatalogTimers) {
    this.options = options
    this.timers = timers
    this.logger = options.logger.child({ part: 'catalog' })
    this.local = new LocalInventory(options.filter)
  }

  open(name: string): MirroredRegistry {
    const seed = Math.floor(this.options.rng.next() * 2 ** 32)
    const mirrored: MirroredRegistry = {
      name,
      state: createReplicaState(name, this.options.peerId, seed),
      pending: new PendingChanges(),
      held: new HeldDeltas(),
      epoch: undefined,
      version: 0,
      closed: false,
    }
    this.registries.set(name, mirrored)
    return mirrored
  }

  /** Is this a member whose holdings are kept: live or masked? */
  memberState(peerId: PeerId): 'live' | 'masked' | undefined {
    return this.#members.get(peerId)
  }

  memberByShortId(shortId: string): PeerId | undefined {
    return this.#byShortId.get(shortId)
  }

  liveMembers(): PeerId[] {
    return [...this.#members].filter(([, state]) => state === 'live').map(([peerId]) => peerId)
  }

  setMember(peerId: PeerId, state: 'live' | 'masked' | undefined): void {
    const shortId = shortIdOf(publicKeyFromPeerId(peerId))
    if (state === undefined) {
      this.#members.delete(peerId)
      this.#byShortId.delete(shortId)
    } else {
      this.#members.set(peerId, state)
      this.#byShortId.set(shortId, peerId)
    }
  }

  /** The entry of a member in a registry, made where there is none yet. Undefined for who is no attested member. */
  entryOf(mirrored: MirroredRegistry, peerId: PeerId): OriginEntry | undefined {
    const state = this.#members.get(peerId)
    if (state === undefined || !this.options.isAttested(peerId)) return undefined
    const { origins } = mirrored.state
    const known = origins.get(peerId)
    if (known !== undefined) return known
    const added = origins.add(peerId)
    if (added !== undefined) origins.setLive(added, state === 'live')
    return added
  }

  keyOf(peerId: PeerId): KeyObject {
    let key = this.#keys.get(peerId)
    if (key === undefined) {
      key = publicKeyObject(publicKeyFromPeerId(peerId))
      this.#keys.set(peerId, key)
    }
    return key
  }

  /** Look-ups in a registry may have other answers now. */
  changed(mirrored: MirroredRegistry): void {
    mirrored.version += 1
    for (const listener of this.changeListeners) listener(mirrored.name)
  }

  isOver(mirrored: MirroredRegistry): boolean {
    return this.stopped || mirrored.closed
  }

  /** Runs steps on a registry in short slices; undefined where the registry was dropped meanwhile. */
  run<T>(mirrored: MirroredRegistry, steps: Steps<T>): Promise<T | undefined> {
    return runInTurns(steps, {
      clock: this.options.clock,
      timers: this.timers,
      isOver: () => this.isOver(mirrored),
    })
  }

  /** Warns, of each kind at most once in ten seconds: what others send must not fill the log. */
  warnSometimes(kind: string, fields: object, message: string): void {
    const now = this.options.clock.monotonicMs()
    const lastMs = this.#loggedMs.get(kind)
    if (lastMs !== undefined && now - lastMs < logEveryMs) return
    this.#loggedMs.set(kind, now)
    this.logger.warn(fields, message)
  }

  /** A random one of some peers. */
  pick(peers: readonly PeerId[]): PeerId | undefined {
    return peers[Math.floor(this.options.rng.next() * peers.length)]
  }

  /** A time between both, evenly. */
  between(minMs: number, maxMs: number): number {
    return minMs + this.options.rng.next() * (maxMs - minMs)
  }
}
