import type { WrongBytes } from '../../core/lookup.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Clock, Logger, Metrics } from '../../core/ports.ts'
import { describeEvidence } from './evidence.ts'
import type { QuarantineNotice } from './notice.ts'

/** What another node says of this one. Times in milliseconds since 1970. */
export interface Accusation {
  readonly peerId: PeerId
  readonly name: string
  readonly digest: WrongBytes['digest']
  readonly evidence: WrongBytes['evidence']
  readonly sinceMs: number
  readonly untilMs: number
}

export interface AccusationsOptions {
  readonly nameOf: (peerId: PeerId) => string
  /** Has this node's copy of a blob hashed anew; false where it has none. */
  readonly doubt: (digest: WrongBytes['digest']) => boolean
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

const maxAccusers = 64
/** One accuser makes this node hash a blob, and write a line, this often at most. */
const minGapMs = 30_000

/**
 * The nodes that have put this one into quarantine, by their own word. To say so costs them nothing, and moves nothing here but that
 * the blob in question is looked at.
 */
export class Accusations {
  readonly #options: AccusationsOptions
  readonly #byPeer = new Map<PeerId, Accusation>()
  readonly #heardMs = new Map<PeerId, number>()

  constructor(options: AccusationsOptions) {
    this.#options = options
  }

  take(from: PeerId, notice: QuarantineNotice): void {
    const { clock, log, metrics, nameOf, doubt } = this.#options
    this.current()
    const name = nameOf(from)
    const known = this.#byPeer.get(from)
    if (notice.kind === 'released') {
      if (!this.#byPeer.delete(from)) return
      metrics.count('starling_quarantine_notices_total', { kind: 'released' })
      log.info({ peer: name, peerId: from }, 'a peer has taken this node out of quarantine')
      return
    }
    if (known === undefined && this.#byPeer.size >= maxAccusers) {
      metrics.count('starling_quarantine_notices_total', { kind: 'too-many' })
      return
    }
    const { digest, evidence, lengthMs } = notice
    const nowMs = clock.wallMs()
    const again = known?.digest === digest
    const sinceMs = again ? known.sinceMs : nowMs
    const accusation = { peerId: from, name, digest, evidence, sinceMs, untilMs: nowMs + lengthMs }
    this.#byPeer.set(from, accusation)
    if (again) return
    metrics.count('starling_quarantine_notices_total', { kind: 'quarantined' })
    const heardMs = this.#heardMs.get(from)
    const now = clock.monotonicMs()
    if (heardMs !== undefined && now - heardMs < minGapMs) return
    this.#heardMs.set(from, now)
    const hashed = doubt(digest)
    const reason = `wrong bytes came from this node: ${describeEvidence(evidence)}`
    log.error(
      { peer: name, peerId: from, digest, reason, hashedAnew: hashed },
      'a peer has put this node into quarantine',
    )
  }

  /** Those that still hold, by name. */
  current(): Accusation[] {
    const nowMs = this.#options.clock.wallMs()
    for (const { peerId, untilMs } of this.#byPeer.values()) if (nowMs >= untilMs) this.#byPeer.delete(peerId)
    for (const peerId of this.#heardMs.keys()) {
      if (!this.#byPeer.has(peerId) && this.#heardMs.size > maxAccusers) this.#heardMs.delete(peerId)
    }
    return [...this.#byPeer.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  }
}
