import { LRUCache } from 'lru-cache'
import type { Clock } from '../../core/ports.ts'
import { JoinRefusedError } from '../../trust/join-refusal.ts'

const windowMs = 60_000
const maxFailuresPerHost = 10
const maxFailures = 600
const maxHosts = 4_096

interface Window {
  readonly sinceMs: number
  count: number
}

/** Who has failed to join too often has to wait, before any secret is looked at. */
export class FailureLimits {
  readonly #clock: Clock
  readonly #hosts = new LRUCache<string, Window>({ max: maxHosts })
  #all: Window = { sinceMs: Number.NEGATIVE_INFINITY, count: 0 }

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** @throws JoinRefusedError `rate` */
  check(host: string): void {
    const own = this.#current(this.#hosts.get(host))
    if (own.count < maxFailuresPerHost && this.#current(this.#all).count < maxFailures) return
    throw new JoinRefusedError('rate', 'too many failed attempts to join', 'wait a minute')
  }

  failed(host: string): void {
    const own = this.#current(this.#hosts.get(host))
    own.count += 1
    this.#hosts.set(host, own)
    this.#all = this.#current(this.#all)
    this.#all.count += 1
  }

  #current(window: Window | undefined): Window {
    const nowMs = this.#clock.monotonicMs()
    const isOver = window === undefined || nowMs - window.sinceMs >= windowMs
    return isOver ? { sinceMs: nowMs, count: 0 } : window
  }
}
