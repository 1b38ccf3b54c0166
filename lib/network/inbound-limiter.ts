import type { MultiaddrConnection } from '@libp2p/interface'
import type { Clock } from '../core/ports.ts'
import { describeAddress } from './multiaddrs.ts'
import type { Refusals } from './refusals.ts'

export interface InboundLimits {
  /** Connections, both directions, attested. */
  readonly maxConnections: number
  /** Inbound connections that have not passed the gates yet. */
  readonly maxPending: number
  /** New inbound connections a second from one address: many nodes may share one, and start together. */
  readonly maxPerHostPerSecond: number
}

export const defaultInboundLimits: InboundLimits = {
  maxConnections: 512,
  maxPending: 512,
  maxPerHostPerSecond: 64,
}

const windowMs = 1_000
const maxHosts = 4_096

/** Decides which inbound connections may try the gates at all (DESIGN §5). */
export class InboundLimiter {
  readonly #limits: InboundLimits
  readonly #clock: Clock
  readonly #refusals: Refusals
  readonly #open: () => number
  readonly #pending = new Set<string>()
  readonly #hosts = new Map<string, { sinceMs: number; count: number }>()

  constructor(options: { limits: InboundLimits; clock: Clock; refusals: Refusals; open: () => number }) {
    this.#limits = options.limits
    this.#clock = options.clock
    this.#refusals = options.refusals
    this.#open = options.open
  }

  get pending(): number {
    return this.#pending.size
  }

  /** Does this host connect too often? Asked with each connection of it, before anything is done for it. */
  isTooFast(host: string): boolean {
    const tooFast = this.#count(host) > this.#limits.maxPerHostPerSecond
    if (tooFast) this.#refusals.refuse('limit', 'rate', { remote: host, direction: 'inbound' })
    return tooFast
  }

  /** Must this connection be closed for want of room? If not it counts as pending until it is admitted or closed. */
  denies(connection: MultiaddrConnection): boolean {
    const remote = describeAddress(connection.remoteAddr)
    const full = this.#open() >= this.#limits.maxConnections
    if (full || this.#pending.size >= this.#limits.maxPending) {
      this.#refusals.refuse('limit', full ? 'connections' : 'pending', { remote, direction: 'inbound' })
      return true
    }
    this.#pending.add(remote)
    connection.addEventListener('close', () => {
      this.#pending.delete(remote)
    })
    return false
  }

  /** The connection from this address has passed the gates. */
  admitted(remote: string): void {
    this.#pending.delete(remote)
  }

  /** Connections of a host in the running second, this one included. */
  #count(host: string): number {
    const nowMs = this.#clock.monotonicMs()
    const known = this.#hosts.get(host)
    if (known !== undefined && nowMs - known.sinceMs < windowMs) return ++known.count
    this.#hosts.delete(host)
    this.#hosts.set(host, { sinceMs: nowMs, count: 1 })
    const oldest = this.#hosts.size > maxHosts ? this.#hosts.keys().next().value : undefined
    if (oldest !== undefined) this.#hosts.delete(oldest)
    return 1
  }
}
