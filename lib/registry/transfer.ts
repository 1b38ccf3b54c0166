import type { Candidate, TransferReport } from '../core/lookup.ts'
import { rateOf } from '../selection/pace.ts'
import type { PlanEffect } from '../selection/plan-types.ts'
import { defaultStripes } from '../selection/stripe-layout.ts'
import { TransferPlan } from '../selection/transfer-plan.ts'
import type { WantedBytes } from '../selection/wanted-bytes.ts'
import { BodyOutput } from './body-output.ts'
import { BusyWait } from './busy-wait.ts'
import { rangeHeader } from './peer-answer.ts'
import { type FetchEnd, PeerFetch } from './peer-fetch.ts'
import { TransferAttempt } from './transfer-attempt.ts'
import { TransferBudget } from './transfer-budget.ts'
import { type CheckOutcome, startDigestCheck, type TransferCheck } from './transfer-check.ts'
import type { BodySink, TransferDeps, TransferJob, TransferResult } from './transfer-job.ts'
import { findLaggards, overtakenReport, type Running } from './transfer-watch.ts'

export type { BodySink, TransferDeps, TransferJob, TransferResult }

const maxTickMs = 100
const minTickMs = 10

/**
 * Gets one body from candidates into a sink (DESIGN §6): the plan decides, this moves the bytes. Settles with an outcome, never
 * with an error.
 */
export function runTransfer(job: TransferJob, sink: BodySink, deps: TransferDeps): Promise<TransferResult> {
  return new Promise((resolve) => new Transfer(job, sink, deps, resolve).start())
}

class Transfer {
  readonly #job: TransferJob
  readonly #out: BodyOutput
  readonly #deps: TransferDeps
  readonly #resolve: (result: TransferResult) => void
  readonly #plan: TransferPlan
  readonly #candidates: Candidate[]
  readonly #attempts: TransferAttempt[] = []
  readonly #running = new Map<number, Running>()
  /** Requests that brought all their bytes, until these are judged. */
  readonly #unjudged: Running[] = []
  /** Bytes of each range that were not taken yet. */
  readonly #buffers = new Map<number, Uint8Array[]>()
  readonly #deadlineMs: number
  readonly #ticker: NodeJS.Timeout
  readonly #checkAbort = new AbortController()
  #check: TransferCheck | undefined
  #checkedBody: unknown
  /** Offset of the next byte that the check takes. */
  #taken = 0
  #pumping = false
  #over = false
  readonly #busyWait: BusyWait
  #bestRate = 0

  constructor(
    job: TransferJob,
    sink: BodySink,
    deps: TransferDeps,
    resolve: (result: TransferResult) => void,
  ) {
    this.#job = job
    this.#out = new BodyOutput(sink, job.begunSizeBytes !== undefined, () => this.#flow())
    this.#deps = deps
    this.#resolve = resolve
    this.#candidates = [...job.candidates]
    this.#busyWait = new BusyWait(job.lookAgain, deps.limits.openBudgetMs)
    this.#deadlineMs = deps.now() + deps.limits.openBudgetMs
    this.#plan = new TransferPlan(job.candidates, {
      wanted: job.wanted,
      stripes: job.unranged === true ? undefined : (deps.stripes ?? defaultStripes),
      begunSizeBytes: job.begunSizeBytes,
      budget: deps.budget ?? new TransferBudget(0),
    })
    const tickMs = Math.max(minTickMs, Math.min(maxTickMs, deps.limits.stallTimeoutMs / 8))
    // After the sockets were read: what came while the thread was busy is not held against a holder.
    this.#ticker = setInterval(() => setImmediate(() => this.#tick()), tickMs)
  }

  start(): void {
    const { signal } = this.#job
    signal.addEventListener('abort', this.#onAbort, { once: true })
    if (signal.aborted) this.#onAbort()
    else {
      this.#apply(this.#plan.step({ type: 'start' }))
      this.#startCheck()
    }
  }

  readonly #onAbort = (): void => this.#settle('cancelled')

  #settle(outcome: TransferResult['outcome'], sizeBytes = this.#plan.body?.sizeBytes): void {
    if (this.#over) return
    this.#over = true
    clearInterval(this.#ticker)
    this.#checkAbort.abort()
    this.#job.signal.removeEventListener('abort', this.#onAbort)
    for (const { attempt } of this.#unjudged.splice(0)) attempt.end('complete', '')
    this.#plan.close()
    for (const { fetch, attempt } of this.#running.values()) {
      fetch.cancel()
      attempt.end('cancelled', '')
    }
    this.#running.clear()
    this.#buffers.clear()
    const verified = outcome === 'finished' && this.#check?.checks === true
    this.#resolve({ outcome, sizeBytes, verified, attempts: this.#attempts })
  }

  #apply(effects: readonly PlanEffect[]): void {
    for (const effect of effects) {
      if (this.#over) return
      if (effect.type === 'request') this.#request(effect.fetch, effect.source, effect.wanted)
      else if (effect.type === 'cancel' && effect.overtaken) this.#overtaken(effect.fetch)
      else if (effect.type === 'cancel') this.#stop(effect.fetch, 'cancelled', '')
      else if (effect.type === 'failed') this.#stop(effect.fetch, 'refused', useless(effect.disagrees))
      else if (effect.type === 'drop') this.#buffers.delete(effect.span)
      else if (effect.type === 'finish') this.#finish()
      else if (effect.type === 'unsatisfiable') this.#settle('unsatisfiable', effect.sizeBytes)
      else this.#settle(effect.type === 'not-found' ? 'not-found' : 'ended-early')
    }
  }

  #overtaken(id: number): void {
    const fetch = this.#running.get(id)?.fetch
    if (fetch === undefined) return
    const { outcome, reason } = overtakenReport(fetch, this.#deps.limits.stallTimeoutMs)
    this.#stop(id, outcome, reason)
  }

  #stop(id: number, outcome: TransferReport['outcome'], reason: string): void {
    const running = this.#running.get(id)
    if (running === undefined) return
    this.#running.delete(id)
    running.fetch.cancel()
    running.attempt.end(outcome, reason)
  }

  #request(id: number, source: number, wanted: WantedBytes): void {
    const attempt = this.#newAttempt(source)
    const { peer } = attempt
    const { digest, path } = this.#job
    const fetch = new PeerFetch({ digest, path, peer, range: rangeHeader(wanted) }, this.#deps, {
      onHead: (head) => {
        if (head.sizeBytes > this.#job.maxSizeBytes) {
          this.#stop(id, 'refused', `answered with ${head.sizeBytes} bytes, too many`)
          this.#apply(this.#plan.step({ type: 'failed', fetch: id }))
          return
        }
        this.#apply(this.#plan.step({ ...head, fetch: id, type: 'opened' }))
        this.#startCheck()
      },
      onChunk: (chunk) => this.#received(id, fetch, attempt, chunk),
      onEnd: (end) => this.#ended(id, end),
    })
    this.#running.set(id, { fetch, attempt, source })
  }

  #newAttempt(source: number): TransferAttempt {
    const attempt = new TransferAttempt((this.#candidates[source] as Candidate).peer, this.#deps)
    this.#attempts.push(attempt)
    return attempt
  }

  #received(id: number, fetch: PeerFetch, attempt: TransferAttempt, chunk: Buffer): void {
    attempt.received(chunk.length)
    const got = this.#plan.receive(id, chunk.length)
    if (got === undefined || got.take === 0) return
    const buffer = this.#buffers.get(got.span)
    const bytes = got.take === chunk.length ? chunk : chunk.subarray(got.skip, got.skip + got.take)
    if (buffer === undefined) this.#buffers.set(got.span, [bytes])
    else buffer.push(bytes)
    this.#pump()
    if (!this.#over && this.#plan.head?.id === got.span && this.#buffers.has(got.span)) fetch.pause()
  }

  #ended(id: number, end: FetchEnd): void {
    const running = this.#running.get(id)
    if (running === undefined) return
    this.#running.delete(id)
    const { attempt, fetch } = running
    this.#bestRate = Math.max(this.#bestRate, rateOf(fetch.pace))
    if (end.type === 'failed') {
      attempt.end(end.outcome, end.reason, end.status)
      this.#apply(this.#plan.step({ type: 'failed', fetch: id }))
    } else if (end.type === 'busy') {
      attempt.end('busy', 'has no room now', 429)
      const retryAtMs = this.#deps.now() + end.retryAfterMs
      this.#apply(this.#plan.step({ type: 'busy', fetch: id, retryAtMs }))
    } else if (end.type === 'unsatisfiable') {
      attempt.end('complete', '', 416)
      this.#apply(this.#plan.step({ ...end, fetch: id }))
    } else {
      this.#unjudged.push(running)
      const effects = this.#plan.step({ type: 'ended', fetch: id })
      if (effects.some((effect) => effect.type === 'failed' && effect.fetch === id)) {
        this.#unjudged.pop()
        attempt.end('broken', 'the body was too short')
      }
      this.#apply(effects)
      this.#pump()
      for (const judged of this.#unjudged.splice(0)) judged.attempt.end('complete', '')
    }
    this.#startCheck()
  }

  /** A check belongs to what is known of the body; where that is not believed any more, the next one begins. */
  #startCheck(): void {
    const { body } = this.#plan
    if (this.#over || body === undefined || body === this.#checkedBody) return
    this.#checkedBody = body
    this.#check = undefined
    this.#taken = this.#out.offset = body.start
    const { digest, path } = this.#job
    const { signal } = this.#checkAbort
    const started = (this.#deps.startCheck ?? startDigestCheck)({
      digest,
      path,
      body,
      candidates: this.#candidates,
      signal,
    })
    const ready = (check: TransferCheck): void => {
      if (this.#over || this.#checkedBody !== body) return
      if (check.refusal !== undefined) {
        this.#settle(this.#out.begun ? 'ended-early' : 'not-found')
        return
      }
      this.#check = check
      this.#flow()
    }
    if ('then' in started) void started.then(ready)
    else ready(started)
  }

  #flow(): void {
    if (this.#over) return
    this.#pump()
    if (this.#out.full || this.#over) return
    for (const { fetch } of this.#running.values()) fetch.resume()
  }

  /** Takes bytes in order through the check into the sink, until there are none or the sink is full. */
  #pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    try {
      while (!this.#over && !this.#out.full && this.#check !== undefined) {
        const { head } = this.#plan
        if (head === undefined || this.#plan.body !== this.#checkedBody) break
        const buffer = this.#buffers.get(head.id)
        const chunk = buffer?.shift()
        if (chunk !== undefined) {
          this.#taken += chunk.length
          this.#pass(this.#check.pass(chunk))
          continue
        }
        this.#buffers.delete(head.id)
        if (!head.complete) break
        this.#apply(this.#plan.step({ type: 'passed' }))
      }
    } finally {
      this.#pumping = false
    }
  }

  #pass(outcome: CheckOutcome, last = false): boolean {
    if ('wrongFrom' in outcome) {
      this.#wrong(outcome.wrongFrom, outcome.reason)
      return false
    }
    if (outcome.free.length > 0) this.#begin()
    this.#out.write(outcome.free, last)
    this.#plan.step({ type: 'forwarded', to: this.#out.offset })
    return true
  }

  #begin(): void {
    const { body } = this.#plan
    if (body === undefined) return
    this.#plan.step({ type: 'committed' })
    this.#out.begin(body)
  }

  #finish(): void {
    this.#startCheck()
    // Without a check the body is empty: there is nothing that it could wait for.
    if (this.#check !== undefined && !this.#pass(this.#check.finish(), true)) return
    this.#begin()
    this.#settle('finished')
  }

  /** Where a single candidate gave the bytes it is the one to blame; of several nobody knows. */
  #wrong(from: number | 'unknown', reason: string): void {
    const givers =
      from === 'unknown'
        ? this.#plan.contributors
        : this.#plan.giversOf(from, Math.max(this.#taken, from + 1))
    const outcome = givers.size === 1 ? 'wrong-bytes' : 'broken'
    const known = [...this.#running.values(), ...this.#unjudged]
    for (const source of givers) {
      const open = known.find((running) => running.source === source)
      ;(open?.attempt ?? this.#newAttempt(source)).end(outcome, reason)
    }
    if (from === 'unknown') {
      this.#settle(this.#out.begun ? 'ended-early' : 'not-found')
      return
    }
    const to = this.#taken
    this.#taken = from
    this.#apply(this.#plan.step({ type: 'wrong', from, to }))
  }

  #tick(): void {
    if (this.#over) return
    const { now, limits } = this.#deps
    const nowMs = now()
    if (!this.#out.begun && nowMs >= this.#deadlineMs) {
      this.#settle('not-found')
      return
    }
    for (const { id, verdict } of findLaggards(this.#running, this.#bestRate, limits.stallTimeoutMs)) {
      if (verdict === 'stalled') this.#stop(id, 'stalled', `no byte for ${limits.stallTimeoutMs} ms`)
      this.#apply(this.#plan.step({ type: verdict === 'stalled' ? 'failed' : 'late', fetch: id }))
    }
    if (this.#over) return
    this.#apply(this.#plan.step({ type: 'tick', nowMs }))
    this.#waitForRoom(nowMs)
  }

  /** All candidates are busy: others may have got the blob meanwhile. */
  #waitForRoom(nowMs: number): void {
    if (this.#over) return
    const next = this.#busyWait.next(this.#plan.waiting, nowMs)
    if (next === 'give-up') this.#settle(this.#out.begun ? 'ended-early' : 'not-found')
    else if (next === 'look') void this.#busyWait.look().then((found) => this.#add(found))
  }

  #add(found: readonly Candidate[]): void {
    const known = new Set(this.#candidates.map(({ peer }) => peer.peerId))
    const candidates = found.filter(({ peer }) => !known.has(peer.peerId))
    if (this.#over || candidates.length === 0) return
    this.#candidates.push(...candidates)
    this.#apply(this.#plan.step({ type: 'candidates', candidates }))
  }
}

function useless(disagrees: boolean): string {
  return disagrees ? 'says another size of it' : 'answered with other bytes than were asked for'
}
