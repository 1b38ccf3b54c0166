import type { Clock } from './ports.ts'

export interface HostRateLimits {
  /** New connections a second from one host: many nodes may share one, and start together. */
  readonly maxPerHostPerSecond: number
  /** New connections a second from all hosts together where nobody has proved lately that he belongs to the cluster. */
  readonly maxStrangersPerSecond: number
}

/** Why a connection comes too soon; fit for a metric's label. */
export type RateRefusal = 'rate' | 'strangers'

const windowMs = 1_000
const maxHosts = 4_096
/** So long somebody's proof counts for the host that he came from. */
const knownForMs = 86_400_000

interface Window {
  sinceMs: number
  count: number
}

/**
 * Counts new connections by the host that they come from, before anything is done for them: what strangers may cost
 * is bounded however many addresses they have, and hosts of the cluster don't share that bound. Addresses can be
 * forged or shared, so this decides about work, not about trust.
 */
export class HostRates {
  readonly #limits: HostRateLimits
  readonly #clock: Clock
  readonly #hosts = new Map<string, Window>()
  readonly #strangers: Window = { sinceMs: Number.NEGATIVE_INFINITY, count: 0 }
  readonly #metMs = new Map<string, number>()

  constructor(limits: HostRateLimits, clock: Clock) {
    this.#limits = limits
    this.#clock = clock
  }

  /** Counts a connection from this host; undefined where it may go on. */
  refusal(address: string): RateRefusal | undefined {
    const host = plainHost(address)
    const nowMs = this.#clock.monotonicMs()
    let window = this.#hosts.get(host)
    if (window === undefined || nowMs - window.sinceMs >= windowMs) {
      window = { sinceMs: nowMs, count: 0 }
      keepNewest(this.#hosts, host, window)
    }
    if (++window.count > this.#limits.maxPerHostPerSecond) return 'rate'
    const metMs = this.#metMs.get(host)
    if (metMs !== undefined && nowMs - metMs < knownForMs) return undefined
    if (nowMs - this.#strangers.sinceMs >= windowMs) {
      this.#strangers.sinceMs = nowMs
      this.#strangers.count = 0
    }
    return ++this.#strangers.count > this.#limits.maxStrangersPerSecond ? 'strangers' : undefined
  }

  /** Somebody at this host has proved that he belongs to the cluster. */
  met(address: string): void {
    keepNewest(this.#metMs, plainHost(address), this.#clock.monotonicMs())
  }
}

/** `::ffff:10.0.0.1`, as a dual-stack socket reports an IPv4 address, becomes `10.0.0.1`. */
export function plainHost(host: string): string {
  return /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(host) ? host.slice(7) : host
}

function keepNewest<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key)
  map.set(key, value)
  if (map.size <= maxHosts) return
  for (const oldest of map.keys()) {
    map.delete(oldest)
    return
  }
}
