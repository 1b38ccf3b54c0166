import { HostRates } from '../core/host-rates.ts'
import type { Clock } from '../core/ports.ts'

export interface ConnectionBounds {
  /** Connections in all. */
  readonly maxConnections: number
  /** Connections that have shown no certificate of the cluster: in all, and from one address. */
  readonly maxStrangers: number
  readonly maxStrangersPerHost: number
}

/** Why a connection is closed at once; fit for a metric's label. */
export type ConnectionRefusal = 'connections' | 'strangers' | 'host' | 'rate'

/**
 * Bounds what strangers can hold: each connection counts as a stranger's until it shows a certificate of the cluster,
 * so that however many of them stay silent, members are served.
 */
export class ConnectionLimits {
  readonly #bounds: ConnectionBounds
  readonly #rates: HostRates
  readonly #strangers = new Map<object, string>()
  readonly #perHost = new Map<string, number>()
  #all = 0

  constructor(bounds: ConnectionBounds, clock: Clock) {
    this.#bounds = bounds
    this.#rates = new HostRates({ maxPerHostPerSecond: 128, maxStrangersPerSecond: 256 }, clock)
  }

  /** Counts a new connection; undefined where it may stay. Each one that may must end with `left`. */
  refusal(connection: object, host: string): ConnectionRefusal | undefined {
    if (this.#all >= this.#bounds.maxConnections) return 'connections'
    if (this.#strangers.size >= this.#bounds.maxStrangers) return 'strangers'
    const count = this.#perHost.get(host) ?? 0
    if (count >= this.#bounds.maxStrangersPerHost) return 'host'
    if (this.#rates.refusal(host) !== undefined) return 'rate'
    this.#all += 1
    this.#strangers.set(connection, host)
    this.#perHost.set(host, count + 1)
    return undefined
  }

  /** The connection has shown a certificate of the cluster. */
  proved(connection: object): void {
    const host = this.#strangers.get(connection)
    if (host !== undefined) this.#rates.met(host)
    this.#forget(connection)
  }

  /** The connection, which `refusal` has let in, has ended. */
  left(connection: object): void {
    this.#all -= 1
    this.#forget(connection)
  }

  #forget(connection: object): void {
    const host = this.#strangers.get(connection)
    if (host === undefined) return
    this.#strangers.delete(connection)
    const count = (this.#perHost.get(host) ?? 1) - 1
    if (count === 0) this.#perHost.delete(host)
    else this.#perHost.set(host, count)
  }
}
