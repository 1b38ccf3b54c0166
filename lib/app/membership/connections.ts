import type { PeerConnector } from '../../core/cluster.ts'
import { describeError } from '../../core/errors.ts'
import type { Member } from '../../core/peer.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Clock, Logger, Rng } from '../../core/ports.ts'
import { planNeighbours } from '../../membership/neighbours.ts'

/** Handshakes at once: each costs 20 ms of a core on both sides. */
const maxDialling = 2
const dialTimeoutMs = 10_000
/** After a failed dial a member is left out for so long. */
const dialBackoffMs = 10_000
/**
 * A dial that ends without an answer after so long may be due to cores that are short: the next one waits, twice as long each
 * time, and is alone, until one succeeds. Else nodes that start together spend their cores on handshakes that time out.
 */
const slowDialMs = 2_000
const firstPauseMs = 1_000
const maxPauseMs = 4_000
/** A connection to somebody who is no live member is closed after so long. */
const strangerGraceMs = 60_000
/** A connection is kept at least this long, so that exchanges and fetches end. */
const minimumAgeMs = 15_000

export interface KeeperParts {
  readonly connector: PeerConnector
  readonly clock: Clock
  readonly rng: Rng
  readonly logger: Logger
  readonly registriesOf: (peerId: PeerId) => readonly string[] | undefined
}

/** Opens and closes libp2p connections as `planNeighbours` says. */
export class NeighbourKeeper {
  readonly #parts: KeeperParts
  readonly #failedMs = new Map<PeerId, number>()
  readonly #dialling = new Set<PeerId>()
  readonly #dropped = new Set<PeerId>()
  readonly #seenMs = new Map<PeerId, number>()
  #pauseMs = 0
  #pausedUntilMs = Number.NEGATIVE_INFINITY

  constructor(parts: KeeperParts) {
    this.#parts = parts
  }

  /** Did this node close that connection itself? Asking forgets it. */
  wasDropped(peerId: PeerId): boolean {
    return this.#dropped.delete(peerId)
  }

  /** One round; called about once a second. `live` leaves this node out. */
  keep(live: readonly Member[], registries: readonly string[]): void {
    const { clock, connector, registriesOf, rng } = this.#parts
    const nowMs = clock.monotonicMs()
    const connected = new Set(connector.connections().map(({ peerId }) => peerId))
    this.#observe(connected, nowMs)
    const peers = new Set(live.map(({ record }) => record.peerId))
    const candidates = live
      .map(({ record }) => record.peerId)
      .filter((peerId) => connected.has(peerId) || this.#mayDial(peerId, nowMs))
      .map((peerId) => ({ peerId, registries: registriesOf(peerId) }))
    const plan = planNeighbours(candidates, connected.union(this.#dialling), registries, rng)
    for (const member of live)
      if (plan.dial.includes(member.record.peerId) && this.#hasRoom(nowMs)) void this.#dial(member)
    for (const peerId of plan.drop) if (this.#ageMs(peerId, nowMs) >= minimumAgeMs) this.#drop(peerId)
    for (const peerId of connected)
      if (!peers.has(peerId) && this.#ageMs(peerId, nowMs) >= strangerGraceMs) this.#drop(peerId)
  }

  #observe(connected: ReadonlySet<PeerId>, nowMs: number): void {
    for (const peerId of connected) if (!this.#seenMs.has(peerId)) this.#seenMs.set(peerId, nowMs)
    for (const peerId of this.#seenMs.keys()) if (!connected.has(peerId)) this.#seenMs.delete(peerId)
    for (const [peerId, failedMs] of this.#failedMs)
      if (nowMs - failedMs >= dialBackoffMs) this.#failedMs.delete(peerId)
  }

  #ageMs(peerId: PeerId, nowMs: number): number {
    return nowMs - (this.#seenMs.get(peerId) ?? nowMs)
  }

  #mayDial(peerId: PeerId, nowMs: number): boolean {
    const failedMs = this.#failedMs.get(peerId)
    return failedMs === undefined || nowMs - failedMs >= dialBackoffMs
  }

  #hasRoom(nowMs: number): boolean {
    return nowMs >= this.#pausedUntilMs && this.#dialling.size < (this.#pauseMs > 0 ? 1 : maxDialling)
  }

  #failed(nowMs: number, tookMs: number): void {
    if (tookMs < slowDialMs) return
    this.#pauseMs = Math.min(maxPauseMs, Math.max(firstPauseMs, 2 * this.#pauseMs))
    this.#pausedUntilMs = nowMs + this.#pauseMs * (0.5 + this.#parts.rng.next())
  }

  async #dial(member: Member): Promise<void> {
    const { connector, clock, logger } = this.#parts
    const { peerId, p2p, name } = member.record
    this.#dialling.add(peerId)
    const startedMs = clock.monotonicMs()
    try {
      await connector.connectPeer(peerId, p2p, dialTimeoutMs)
      this.#pauseMs = 0
    } catch (error) {
      const nowMs = clock.monotonicMs()
      this.#failedMs.set(peerId, nowMs)
      this.#failed(nowMs, nowMs - startedMs)
      logger.debug({ peerId, name, reason: describeError(error) }, 'a neighbour could not be connected')
    } finally {
      this.#dialling.delete(peerId)
    }
  }

  #drop(peerId: PeerId): void {
    const { connector, logger } = this.#parts
    this.#dropped.add(peerId)
    connector.disconnect(peerId).catch((error: unknown) => {
      logger.debug({ peerId, reason: describeError(error) }, 'a connection could not be closed')
    })
  }
}
