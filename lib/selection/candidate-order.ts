import type { TransferReport } from '../core/lookup.ts'
import type { PeerId } from '../core/peer-id.ts'
import type { Clock, Rng } from '../core/ports.ts'
import { type Holder, orderCandidates } from './order-candidates.ts'
import { type BackOff, defaultBackOff, PeerScores } from './peer-scores.ts'
import { PeerSpeeds } from './peer-speeds.ts'

export interface CandidateOrderOptions {
  /** Zone of this node. */
  readonly zone: string
  readonly clock: Clock
  readonly rng: Rng
  /** Most candidates in one answer. */
  readonly limit?: number
  readonly backOff?: BackOff
}

/** Orders holders by what transfers have shown of them. */
export class CandidateOrder {
  readonly #options: CandidateOrderOptions
  readonly #scores: PeerScores
  readonly #speeds = new PeerSpeeds()

  constructor(options: CandidateOrderOptions) {
    this.#options = options
    this.#scores = new PeerScores(options.backOff ?? defaultBackOff)
  }

  order<T extends Holder>(holders: readonly T[]): readonly T[] {
    const { zone, clock, rng, limit = 8 } = this.#options
    const factors = this.#speeds.factors(holders.map(({ record }) => record.peerId))
    const speed = (peerId: PeerId): number => factors.get(peerId) ?? 1
    const nowMs = clock.monotonicMs()
    return orderCandidates(holders, { zone, scores: this.#scores, nowMs, rng, limit, speed })
  }

  /** A transfer from this peer begins; `learn` ends it. */
  started(peerId: PeerId): void {
    this.#scores.started(peerId)
  }

  learn(report: TransferReport): void {
    this.#speeds.learn(report)
    this.#scores.finished(report, this.#options.clock.monotonicMs())
  }

  /** A peer that is gone for good. */
  forget(peerId: PeerId): void {
    this.#scores.forget(peerId)
    this.#speeds.forget(peerId)
  }
}
