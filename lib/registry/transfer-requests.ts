import type { Candidate, CandidatePeer, TransferReport } from '../core/lookup.ts'
import { rateOf } from '../selection/pace.ts'
import type { WantedBytes } from '../selection/wanted-bytes.ts'
import { rangeHeader } from './peer-answer.ts'
import { type FetchHooks, PeerFetch } from './peer-fetch.ts'
import { TransferAttempt } from './transfer-attempt.ts'
import type { TransferDeps, TransferJob } from './transfer-job.ts'
import { findLaggards, overtakenReport, type Running } from './transfer-watch.ts'

/** The candidates of a transfer and the requests to them, each reported once with its end. */
export class TransferRequests {
  readonly #job: Pick<TransferJob, 'digest' | 'path' | 'urgent'>
  readonly #deps: TransferDeps
  readonly #running = new Map<number, Running>()
  /** Requests that brought all their bytes, until these are judged. */
  readonly #unjudged: Running[] = []
  readonly candidates: Candidate[]
  readonly attempts: TransferAttempt[] = []
  /** Bytes per millisecond of the fastest request that is over. */
  #bestRate = 0

  constructor(job: Pick<TransferJob, 'digest' | 'path' | 'candidates' | 'urgent'>, deps: TransferDeps) {
    this.#job = job
    this.#deps = deps
    this.candidates = [...job.candidates]
  }

  /** Asks the candidate with this index; `onChunk` hears of the request, too. */
  open(
    id: number,
    source: number,
    wanted: WantedBytes,
    hooks: Omit<FetchHooks, 'onChunk'> & { onChunk(chunk: Buffer, fetch: PeerFetch): void },
  ): void {
    const attempt = this.#newAttempt(source)
    const { digest, path } = this.#job
    const question = { digest, path, peer: attempt.peer, range: rangeHeader(wanted) }
    const { peers, now } = this.#deps
    const deps = this.#job.urgent === true ? { peers, now } : this.#deps
    const fetch: PeerFetch = new PeerFetch(question, deps, {
      ...hooks,
      onChunk: (chunk) => {
        attempt.received(chunk.length)
        hooks.onChunk(chunk, fetch)
      },
    })
    this.#running.set(id, { fetch, attempt, source })
  }

  /** Takes out a request that has ended by itself; undefined where it was stopped before. */
  take(id: number): Running | undefined {
    const running = this.#running.get(id)
    if (running === undefined) return undefined
    this.#running.delete(id)
    this.#bestRate = Math.max(this.#bestRate, rateOf(running.fetch.pace))
    return running
  }

  stop(id: number, outcome: TransferReport['outcome'], reason: string): void {
    const running = this.#running.get(id)
    if (running === undefined) return
    this.#running.delete(id)
    running.fetch.cancel()
    running.attempt.end(outcome, reason)
  }

  /** Another request brought its bytes. */
  overtaken(id: number): void {
    const fetch = this.#running.get(id)?.fetch
    if (fetch === undefined) return
    const { outcome, reason } = overtakenReport(fetch, this.#deps.limits.stallTimeoutMs)
    this.stop(id, outcome, reason)
  }

  stopAll(): void {
    for (const id of [...this.#running.keys()]) this.stop(id, 'cancelled', '')
  }

  resumeAll(): void {
    for (const { fetch } of this.#running.values()) fetch.resume()
  }

  laggards(): ReturnType<typeof findLaggards> {
    return findLaggards(this.#running, this.#bestRate, this.#deps.limits.stallTimeoutMs)
  }

  /** The bytes of this request that has ended are about to be judged; `settle` ends those that were not found wrong. */
  judge(running: Running): void {
    this.#unjudged.push(running)
  }

  settle(): void {
    for (const { attempt } of this.#unjudged.splice(0)) attempt.end('complete', '')
  }

  /** `proven`: of the one giver it is known that it sent wrong bytes; else of nobody. Returns the givers. */
  blame(givers: ReadonlySet<number>, reason: string, proven: boolean): CandidatePeer[] {
    const { digest } = this.#job
    const known = [...this.#running.values(), ...this.#unjudged]
    for (const source of givers) {
      const open = known.find((running) => running.source === source)
      const attempt = open?.attempt ?? this.#newAttempt(source)
      if (proven) attempt.condemn({ digest, evidence: 'digest' }, reason)
      else attempt.end('disputed', reason)
    }
    return [...givers].map((source) => (this.candidates[source] as Candidate).peer)
  }

  /** Those of the holders that are no candidates yet become ones, and are returned. */
  add(found: readonly Candidate[]): readonly Candidate[] {
    const known = new Set(this.candidates.map(({ peer }) => peer.peerId))
    const added = found.filter(({ peer }) => !known.has(peer.peerId))
    this.candidates.push(...added)
    return added
  }

  #newAttempt(source: number): TransferAttempt {
    const attempt = new TransferAttempt((this.candidates[source] as Candidate).peer, this.#deps)
    this.attempts.push(attempt)
    return attempt
  }
}
