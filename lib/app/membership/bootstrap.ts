import type { PeerConnector } from '../../core/cluster.ts'
import { describeError } from '../../core/errors.ts'
import { type Endpoint, formatEndpoint } from '../../core/peer.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Logger, Rng } from '../../core/ports.ts'
import { shuffled } from '../../core/shuffled.ts'

const connectTimeoutMs = 10_000
/**
 * One address is asked at a time: who has answered names the others, and a cluster that starts whole would spend itself on
 * handshakes with its bootstrap nodes. The first that is silent for so long is no longer waited for, the next one half as long.
 */
const firstPatienceMs = 1_000
const minPatienceMs = 50
const maxUnanswered = 32
/** After an answer, until what the other one knows is known here. */
const newsMs = 1_000
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

/** Joins the cluster: asks all bootstrap addresses where no live member is known, and those that did not answer again later. */
export class Bootstrap {
  readonly #parts: BootstrapParts
  #timer: NodeJS.Timeout | undefined
  #attempt = 0
  #isAlone = true
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
    const { logger, hasCompany } = this.#parts
    this.#isAlone = !hasCompany()
    const endpoints = await this.#endpoints(this.#isAlone)
    const reached = await this.#askInTurn(endpoints)
    if (this.#stopped) return
    const isAlone = !hasCompany()
    if (isAlone && reached === 0 && this.#attempt === 0)
      logger.info({ asked: endpoints.map(formatEndpoint) }, 'no other node found yet, asking again')
    this.#attempt = isAlone ? this.#attempt + 1 : 0
    this.#later(isAlone, reached > 0)
  }

  /** Who has answered may still be lost before its record is here: only then is it asked again soon. */
  #later(isAlone: boolean, hasReached: boolean): void {
    const { rng, hasCompany } = this.#parts
    const backoffMs = Math.min(maxRetryMs, firstRetryMs * 2 ** Math.max(0, this.#attempt - 1))
    const waitMs = (isAlone ? backoffMs : askAgainMs) * (0.5 + rng.next())
    this.#timer = setTimeout(() => {
      if (isAlone && hasReached && hasCompany()) this.#later(false, true)
      else this.start()
    }, waitMs)
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
    const chosen = [...configured, ...old].filter((endpoint) => {
      const text = formatEndpoint(endpoint)
      if (skip.has(text)) return false
      skip.add(text)
      return true
    })
    // Not all begin with the first of the list.
    return shuffled(chosen, rng)
  }

  /** Resolves with the number of those that answered, once all have answered or failed. */
  async #askInTurn(endpoints: readonly Endpoint[]): Promise<number> {
    const { covered, rng } = this.#parts
    const asked = new Set<Promise<boolean>>()
    let reached = 0
    let patienceMs = firstPatienceMs
    for (const [index, endpoint] of endpoints.entries()) {
      if (this.#stopped) break
      if (covered().has(formatEndpoint(endpoint))) continue
      while (asked.size >= maxUnanswered) await Promise.race(asked)
      const asking = this.#ask(endpoint)
      asked.add(asking)
      void asking.then((answered) => {
        asked.delete(asking)
        if (answered) reached++
      })
      if (index === endpoints.length - 1) break
      const answered = await Promise.race([asking, this.#pause(patienceMs * (0.5 + rng.next()))])
      clearTimeout(this.#timer)
      if (answered === undefined) patienceMs = Math.max(minPatienceMs, patienceMs / 2)
      else if (answered) await this.#pause(newsMs * (0.5 + rng.next()))
    }
    await Promise.all(asked)
    return reached
  }

  #pause(durationMs: number): Promise<undefined> {
    return new Promise((resolve) => {
      this.#timer = setTimeout(resolve, durationMs, undefined)
    })
  }

  async #ask(endpoint: Endpoint): Promise<boolean> {
    const { connector, exchange, logger, self } = this.#parts
    try {
      const peer = await connector.connect(endpoint, connectTimeoutMs)
      if (peer === self || !(await exchange(peer))) return false
      if (this.#isAlone) logger.info({ through: formatEndpoint(endpoint) }, 'joined the cluster')
      this.#isAlone = false
      return true
    } catch (error) {
      const fields = { endpoint: formatEndpoint(endpoint), reason: describeError(error) }
      logger.debug(fields, 'a bootstrap address did not answer')
      return false
    }
  }
}
