import { forEachBounded } from '../../core/bounded.ts'
import type { PeerConnector } from '../../core/cluster.ts'
import { describeError } from '../../core/errors.ts'
import { type Endpoint, formatEndpoint } from '../../core/peer.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Logger, Rng } from '../../core/ports.ts'

const connectTimeoutMs = 5_000
const maxConcurrentDials = 8
const maxRemembered = 8
const firstRetryMs = 500
const maxRetryMs = 10_000
/** A cluster that was split for longer than it remembers its dead finds together through these. */
const askAgainMs = 60_000

export interface BootstrapParts {
  readonly bootstrap: () => Promise<readonly Endpoint[]>
  readonly connector: PeerConnector
  readonly rng: Rng
  readonly logger: Logger
  readonly self: PeerId
  /** Addresses of this node itself and of the members that are known to live: not asked again. */
  readonly covered: () => ReadonlySet<string>
  /** Addresses from an earlier life, asked while nobody is known. */
  readonly remembered: () => readonly (readonly Endpoint[])[]
  /** Is anybody else known to live? */
  readonly hasCompany: () => boolean
  readonly exchange: (peer: PeerId) => Promise<boolean>
}

/** Joins the cluster: asks every bootstrap address until somebody answers, and those without a live member again later. */
export class Bootstrap {
  readonly #parts: BootstrapParts
  #timer: NodeJS.Timeout | undefined
  #attempt = 0
  #stopped = false

  constructor(parts: BootstrapParts) {
    this.#parts = parts
  }

  start(): void {
    void this.#round()
  }

  /** What is under way ends by its own time-outs and changes nothing any more. */
  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  async #round(): Promise<void> {
    const { logger, rng, hasCompany } = this.#parts
    const wasAlone = !hasCompany()
    const endpoints = await this.#endpoints(wasAlone)
    let reached = 0
    await forEachBounded(endpoints, maxConcurrentDials, async (endpoint) => {
      if (!this.#stopped && (await this.#ask(endpoint))) reached++
    })
    if (this.#stopped) return
    const isAlone = !hasCompany() && reached === 0
    if (isAlone && this.#attempt === 0)
      logger.info({ asked: endpoints.map(formatEndpoint) }, 'no other node found yet, asking again')
    if (wasAlone && reached > 0) logger.info({ reached }, 'joined the cluster')
    this.#attempt = isAlone ? this.#attempt + 1 : 0
    const backoffMs = Math.min(maxRetryMs, firstRetryMs * 2 ** Math.max(0, this.#attempt - 1))
    const waitMs = (isAlone ? backoffMs : askAgainMs) * (0.5 + rng.next())
    this.#timer = setTimeout(() => this.start(), waitMs)
  }

  async #endpoints(isAlone: boolean): Promise<Endpoint[]> {
    const { bootstrap, covered, logger, remembered, rng } = this.#parts
    let configured: readonly Endpoint[] = []
    try {
      configured = await bootstrap()
    } catch (error) {
      logger.warn({ reason: describeError(error) }, 'the bootstrap addresses cannot be found out')
    }
    const skip = new Set(covered())
    const known = isAlone ? remembered() : []
    const start = Math.floor(rng.next() * Math.max(1, known.length))
    const old = [...known.slice(start), ...known.slice(0, start)].slice(0, maxRemembered).flat()
    return [...configured, ...old].filter((endpoint) => {
      const text = formatEndpoint(endpoint)
      if (skip.has(text)) return false
      skip.add(text)
      return true
    })
  }

  async #ask(endpoint: Endpoint): Promise<boolean> {
    const { connector, exchange, logger, self } = this.#parts
    try {
      const peer = await connector.connect(endpoint, connectTimeoutMs)
      return peer !== self && (await exchange(peer))
    } catch (error) {
      const fields = { endpoint: formatEndpoint(endpoint), reason: describeError(error) }
      logger.debug(fields, 'a bootstrap address did not answer')
      return false
    }
  }
}
