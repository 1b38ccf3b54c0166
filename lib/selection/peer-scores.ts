import type { TransferReport } from '../core/lookup.ts'
import type { PeerId } from '../core/peer-id.ts'

/** How a peer stands at one moment. */
export interface PeerStanding {
  /** Transfers from it that this node has running. */
  readonly inFlight: number
  /** Failures in a row. */
  readonly failures: number
  /** Ready to be asked; `resting` while a back-off runs. */
  readonly state: 'ready' | 'resting'
  /** Monotonic milliseconds at which it is ready again; 0 where it is. */
  readonly readyAtMs: number
}

export interface BackOff {
  /** Wait after the first failure; doubles with each further one. */
  readonly baseMs: number
  readonly ceilingMs: number
  /** Failures are forgotten when there was none for this long. */
  readonly forgetMs: number
}

export const defaultBackOff: BackOff = {
  baseMs: 500,
  ceilingMs: 60_000,
  forgetMs: 300_000,
}

interface Score {
  inFlight: number
  failures: number
  failedAtMs: number
  readyAtMs: number
}

/** A catalog that is a moment behind is no failure of the peer; nor is a full one, or one that another overtook. */
function isBlameless({ outcome, status }: TransferReport): boolean {
  return (
    outcome === 'cancelled' ||
    outcome === 'slow' ||
    outcome === 'busy' ||
    (outcome === 'refused' && status === 404)
  )
}

const blank: PeerStanding = { inFlight: 0, failures: 0, state: 'ready', readyAtMs: 0 }

/**
 * What is remembered of each peer from the transfers with it: how many are running, and how long it should be left
 * alone after failures. Who is shown to have sent wrong bytes is no candidate at all, which is not decided here. A peer
 * with nothing to remember takes no memory.
 */
export class PeerScores {
  readonly #backOff: BackOff
  readonly #scores = new Map<PeerId, Score>()

  constructor(backOff: BackOff = defaultBackOff) {
    this.#backOff = backOff
  }

  started(peerId: PeerId): void {
    const score = this.#scores.get(peerId)
    if (score !== undefined) score.inFlight++
    else this.#scores.set(peerId, { inFlight: 1, failures: 0, failedAtMs: 0, readyAtMs: 0 })
  }

  /** Ends what `started` began. `nowMs` is monotonic. */
  finished(report: TransferReport, nowMs: number): void {
    const { peerId, outcome } = report
    const score: Score = this.#scores.get(peerId) ?? {
      inFlight: 0,
      failures: 0,
      failedAtMs: 0,
      readyAtMs: 0,
    }
    this.#scores.set(peerId, score)
    score.inFlight = Math.max(0, score.inFlight - 1)
    if (outcome === 'complete') this.#forgive(score)
    else if (!isBlameless(report)) this.#fail(score, nowMs)
    if (score.inFlight === 0 && score.failures === 0) this.#scores.delete(peerId)
  }

  standing(peerId: PeerId, nowMs: number): PeerStanding {
    const score = this.#scores.get(peerId)
    if (score === undefined) return blank
    const waits = nowMs < score.readyAtMs
    if (score.failures > 0 && !waits && nowMs - score.failedAtMs >= this.#backOff.forgetMs) {
      this.#forgive(score)
      if (score.inFlight === 0) this.#scores.delete(peerId)
    }
    return {
      inFlight: score.inFlight,
      failures: score.failures,
      state: waits ? 'resting' : 'ready',
      readyAtMs: waits ? score.readyAtMs : 0,
    }
  }

  /** A peer that is gone for good. */
  forget(peerId: PeerId): void {
    this.#scores.delete(peerId)
  }

  /** Peers with something to remember. */
  get size(): number {
    return this.#scores.size
  }

  /** Failures of transfers that ran at the same time have one cause: within a running back-off they count once. */
  #fail(score: Score, nowMs: number): void {
    if (nowMs < score.readyAtMs) return
    if (nowMs - score.failedAtMs >= this.#backOff.forgetMs) score.failures = 0
    score.failures++
    score.failedAtMs = nowMs
    score.readyAtMs =
      nowMs + Math.min(this.#backOff.ceilingMs, this.#backOff.baseMs * 2 ** (score.failures - 1))
  }

  #forgive(score: Score): void {
    score.failures = 0
    score.readyAtMs = 0
  }
}
