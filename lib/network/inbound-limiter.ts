import type { MultiaddrConnection } from '@libp2p/interface'
import { type HostRateLimits, HostRates } from '../core/host-rates.ts'
import type { Clock } from '../core/ports.ts'
import { describeAddress } from './multiaddrs.ts'
import type { Refusals } from './refusals.ts'

export interface InboundLimits extends HostRateLimits {
  /** Connections, both directions, attested. */
  readonly maxConnections: number
  /** Inbound connections that have not passed the gates yet. */
  readonly maxPending: number
}

export const defaultInboundLimits: InboundLimits = {
  maxConnections: 512,
  maxPending: 512,
  maxPerHostPerSecond: 64,
  maxStrangersPerSecond: 64,
}

/** Decides which inbound connections may try the gates at all (DESIGN §5). */
export class InboundLimiter {
  readonly #limits: InboundLimits
  readonly #refusals: Refusals
  readonly #open: () => number
  readonly #pending = new Set<string>()
  readonly #rates: HostRates

  constructor(options: { limits: InboundLimits; clock: Clock; refusals: Refusals; open: () => number }) {
    this.#limits = options.limits
    this.#rates = new HostRates(options.limits, options.clock)
    this.#refusals = options.refusals
    this.#open = options.open
  }

  get pending(): number {
    return this.#pending.size
  }

  /** Does this host connect too often? Asked with each connection of it, before anything is done for it. */
  isTooFast(host: string): boolean {
    const reason = this.#rates.refusal(host)
    if (reason === undefined) return false
    this.#refusals.refuse('limit', reason, { remote: host, direction: 'inbound' })
    return true
  }

  /** A member of the cluster has been met at this host. */
  met(host: string): void {
    this.#rates.met(host)
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
}
