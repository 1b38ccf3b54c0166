import type { Candidate } from '../core/lookup.ts'
import type { PlanEffect } from '../selection/plan-types.ts'
import { defaultStripes, widthAmong } from '../selection/stripe-layout.ts'
import { TransferPlan } from '../selection/transfer-plan.ts'
import type { WantedBytes } from '../selection/wanted-bytes.ts'
import { BodyOutput } from './body-output.ts'
import { BusyWait } from './busy-wait.ts'
import type { FetchEnd, PeerFetch } from './peer-fetch.ts'
import { TransferBudget } from './transfer-budget.ts'
import { type CheckOutcome, startDigestCheck, type TransferCheck, type WrongFrom } from './transfer-check.ts'
import type { BodySink, TransferDeps, TransferJob, TransferResult } from './transfer-job.ts'
import { TransferRequests } from './transfer-requests.ts'

export type { BodySink, TransferDeps, TransferJob, TransferResult }

const maxTickMs = 100
const minTickMs = 10
/** After so much of a body a holder that failed may be well again: it was restarted, or its link was mended. */
const returnBytes = 8 * 2 ** 20

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
  readonly #requests: TransferRequests
  readonly #budget: TransferBudget
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
    this.#requests = new TransferRequests(job, deps)
    this.#busyWait = new BusyWait(job.lookAgain, deps.limits.openBudgetMs)
    this.#deadlineMs = deps.now() + deps.limits.openBudgetMs
    const { stripes = defaultStripes } = job
    this.#budget = deps.budget ?? new TransferBudget(0)
    this.#budget.count(1)
    this.#plan = new TransferPlan(job.candidates, {
      wanted: job.wanted,
      stripes: job.unranged === true ? undefined : stripes,
      width: () => widthAmong(this.#budget.transfers, stripes),
      begunSizeBytes: job.begunSizeBytes,
      returnBytes: job.askedOnce === true || job.unranged === true ? undefined : returnBytes,
      budget: this.#budget,
      hedges: deps.hedges,
    })
    const tickMs = Math.max(minTickMs, Math.min(maxTickMs, deps.limits.stallTimeoutMs / 8))
    // After the sockets were read: what came while the thread was busy is not held against a holder.
    this.#ticker = setInterval(() => setImmediate(() => this.#tick()), tickMs)
  }

  /** May who broke off be asked once more for the rest? */
  get #mayGoOn(): boolean {
    return this.#job.askedOnce !== true
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
    // What was let out is right; the memory that it is in is the check's, which takes it back.
    if (outcome === 'cancelled') this.#out.drop()
    else this.#out.flush()
    this.#checkAbort.abort()
    this.#job.signal.removeEventListener('abort', this.#onAbort)
    this.#requests.settle()
    this.#plan.close()
    this.#budget.count(-1)
    this.#requests.stopAll()
    this.#buffers.clear()
    const verified = outcome === 'finished' && this.#check?.checks === true
    this.#resolve({ outcome, sizeBytes, verified, attempts: this.#requests.attempts })
  }

  #apply(effects: readonly PlanEffect[]): void {
    for (const effect of effects) {
      if (this.#over) return
      if (effect.type === 'request') this.#request(effect.fetch, effect.source, effect.wanted)
      else if (effect.type === 'cancel' && effect.overtaken) this.#requests.overtaken(effect.fetch)
      else if (effect.type === 'cancel') this.#requests.stop(effect.fetch, 'cancelled', '')
      else if (effect.type === 'failed') {
        this.#requests.stop(effect.fetch, 'refused', useless(effect.disagrees))
      } else if (effect.type === 'drop') this.#buffers.delete(effect.span)
      else if (effect.type === 'finish') this.#finish()
      else if (effect.type === 'unsatisfiable') this.#settle('unsatisfiable', effect.sizeBytes)
      else this.#settle(effect.type === 'not-found' ? 'not-found' : 'ended-early')
    }
  }

  #request(id: number, source: number, wanted: WantedBytes): void {
    this.#requests.open(id, source, wanted, {
      onHead: (head) => {
        if (head.sizeBytes > this.#job.maxSizeBytes) {
          this.#requests.stop(id, 'refused', `answered with ${head.sizeBytes} bytes, too many`)
          this.#apply(this.#plan.step({ type: 'failed', fetch: id }))
          return
        }
        this.#apply(this.#plan.step({ ...head, fetch: id, type: 'opened' }))
        this.#startCheck()
      },
      onChunk: (chunk, fetch) => this.#received(id, fetch, chunk),
      onEnd: (end) => this.#ended(id, end),
    })
  }

  #received(id: number, fetch: PeerFetch, chunk: Buffer): void {
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
    const running = this.#requests.take(id)
    if (running === undefined) return
    const { attempt } = running
    if (end.type === 'failed') {
      attempt.end(end.outcome, end.reason, end.status)
      const interrupted = this.#mayGoOn && end.outcome === 'broken' && attempt.bytes > 0
      this.#apply(this.#plan.step({ type: 'failed', fetch: id, interrupted }))
    } else if (end.type === 'busy') {
      if (end.here) attempt.end('cancelled', 'this node gets as much from peers as it may')
      else attempt.end('busy', 'has no room now', 429)
      const retryAtMs = this.#deps.now() + end.retryAfterMs
      this.#apply(this.#plan.step({ type: 'busy', fetch: id, retryAtMs }))
    } else if (end.type === 'parked') {
      attempt.end('cancelled', '')
      this.#apply(this.#plan.step({ type: 'parked', fetch: id }))
    } else if (end.type === 'unsatisfiable') {
      attempt.end('complete', '', 416)
      this.#apply(this.#plan.step({ ...end, fetch: id }))
    } else {
      const effects = this.#plan.step({ type: 'ended', fetch: id })
      const short = effects.some((effect) => effect.type === 'failed' && effect.fetch === id)
      if (short) attempt.end('broken', 'the body was too short')
      else this.#requests.judge(running)
      this.#apply(effects)
      this.#pump()
      this.#requests.settle()
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
      candidates: this.#requests.candidates,
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
    this.#apply(this.#plan.step({ type: 'unparked' }))
    this.#requests.resumeAll()
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
      this.#wrong(outcome)
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

  #wrong({ wrongFrom: from, reason, proven, piece }: WrongFrom): void {
    const givers =
      from === 'unknown'
        ? this.#plan.contributors
        : this.#plan.giversOf(from, Math.max(this.#taken, from + 1))
    const alone = givers.size === 1
    const peers = this.#requests.blame(givers, reason, proven && alone)
    if (!proven || !alone) {
      const { digest, path } = this.#job
      this.#deps.suspect?.({ digest, path, peers, piece: alone ? piece : undefined })
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
    for (const { id, verdict } of this.#requests.laggards()) {
      if (verdict === 'stalled') this.#requests.stop(id, 'stalled', `no byte for ${limits.stallTimeoutMs} ms`)
      const late = { type: 'late', fetch: id } as const
      const stalled = { type: 'failed', fetch: id, interrupted: this.#mayGoOn } as const
      this.#apply(this.#plan.step(verdict === 'stalled' ? stalled : late))
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
    if (this.#over) return
    const candidates = this.#requests.add(found)
    if (candidates.length > 0) this.#apply(this.#plan.step({ type: 'candidates', candidates }))
  }
}

function useless(disagrees: boolean): string {
  return disagrees ? 'says another size of it' : 'answered with other bytes than were asked for'
}
