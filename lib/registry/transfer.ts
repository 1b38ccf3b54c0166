import type { Digest } from '../core/digest.ts'
import type { Candidate, RegistryControl } from '../core/lookup.ts'
import { judgePace, rateOf } from '../selection/pace.ts'
import type { PlanEffect } from '../selection/plan-types.ts'
import { defaultStripes, type StripeSettings } from '../selection/stripe-layout.ts'
import { TransferPlan } from '../selection/transfer-plan.ts'
import type { WantedBytes } from '../selection/wanted-bytes.ts'
import { rangeHeader } from './peer-answer.ts'
import type { PeerClient } from './peer-client.ts'
import { type FetchEnd, PeerFetch } from './peer-fetch.ts'
import { TransferAttempt } from './transfer-attempt.ts'
import { TransferBudget } from './transfer-budget.ts'
import { type CheckOutcome, type StartCheck, startDigestCheck, type TransferCheck } from './transfer-check.ts'

/** Where the bytes go. `begin` comes once, when the first bytes are in hand, or never. */
export interface BodySink {
  begin(body: { readonly sizeBytes: number; readonly start: number; readonly end: number }): void
  /** False where no more should come until `drained` resolves. */
  write(chunk: Uint8Array): boolean
  drained(): Promise<void>
}

export interface TransferJob {
  readonly digest: Digest
  /** Path and query to ask a peer for. */
  readonly path: string
  readonly wanted: WantedBytes
  readonly candidates: readonly Candidate[]
  /** Larger bodies are refused. */
  readonly maxSizeBytes: number
  /** Where the client already has bytes before `wanted`: the size that the body must have; `begin` is not called. */
  readonly begunSizeBytes: number | undefined
  /** The whole is asked for at once: what is asked for knows no ranges. */
  readonly unranged?: boolean
  /** The holders as they are now, asked for when all that were known are busy. */
  readonly lookAgain?: () => Promise<readonly Candidate[]>
  readonly signal: AbortSignal
}

export interface TransferDeps {
  readonly peers: Pick<PeerClient, 'open'>
  readonly control: RegistryControl
  readonly limits: { readonly stallTimeoutMs: number; readonly openBudgetMs: number }
  /** Memory for ranges ahead, shared by all transfers. */
  readonly budget?: TransferBudget
  readonly stripes?: StripeSettings
  readonly startCheck?: StartCheck
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export interface TransferResult {
  /** `ended-early`: the client has a part, and nobody is left who could go on. */
  readonly outcome: 'finished' | 'ended-early' | 'not-found' | 'unsatisfiable' | 'cancelled'
  readonly sizeBytes: number | undefined
  /** The digest of the whole was checked. */
  readonly verified: boolean
  readonly attempts: readonly TransferAttempt[]
}

interface Running {
  readonly fetch: PeerFetch
  readonly attempt: TransferAttempt
  readonly source: number
}

const maxTickMs = 100
const minTickMs = 10
const lookAgainMs = 250

/**
 * Gets one body from candidates into a sink (DESIGN §6): the plan decides, this moves the bytes. Settles with an outcome, never
 * with an error.
 */
export function runTransfer(job: TransferJob, sink: BodySink, deps: TransferDeps): Promise<TransferResult> {
  return new Promise((resolve) => new Transfer(job, sink, deps, resolve).start())
}

class Transfer {
  readonly #job: TransferJob
  readonly #sink: BodySink
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
  #begun: boolean
  /** Offset of the next byte that the check takes, and of the next one that goes out. */
  #taken = 0
  #sent = 0
  #full = false
  #pumping = false
  #over = false
  #waitingSinceMs: number | undefined
  #lookedMs = 0
  #bestRate = 0

  constructor(
    job: TransferJob,
    sink: BodySink,
    deps: TransferDeps,
    resolve: (result: TransferResult) => void,
  ) {
    this.#job = job
    this.#sink = sink
    this.#deps = deps
    this.#resolve = resolve
    this.#candidates = [...job.candidates]
    this.#begun = job.begunSizeBytes !== undefined
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
    this.#judged()
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
      switch (effect.type) {
        case 'request':
          this.#request(effect.fetch, effect.source, effect.wanted)
          break
        case 'cancel':
          if (effect.overtaken) this.#overtaken(effect.fetch)
          else this.#stop(effect.fetch, 'cancelled', '')
          break
        case 'failed':
          this.#stop(
            effect.fetch,
            'refused',
            effect.disagrees ? 'says another size of it' : 'answered with other bytes than were asked for',
          )
          break
        case 'drop':
          this.#buffers.delete(effect.span)
          break
        case 'finish':
          this.#finish()
          break
        case 'end-early':
          this.#settle('ended-early')
          break
        case 'not-found':
          this.#settle('not-found')
          break
        case 'unsatisfiable':
          this.#settle('unsatisfiable', effect.sizeBytes)
          break
      }
    }
  }

  #overtaken(id: number): void {
    const pace = this.#running.get(id)?.fetch.pace
    if (pace === undefined) return
    const silent = pace.quietMs >= this.#deps.limits.stallTimeoutMs / 4
    const reason = silent ? `no byte for ${Math.round(pace.quietMs)} ms` : 'another one was faster'
    this.#stop(id, silent ? 'stalled' : 'slow', reason)
  }

  #stop(id: number, outcome: 'slow' | 'stalled' | 'cancelled' | 'refused', reason: string): void {
    const running = this.#running.get(id)
    if (running === undefined) return
    this.#running.delete(id)
    running.fetch.cancel()
    running.attempt.end(outcome, reason)
  }

  #request(id: number, source: number, wanted: WantedBytes): void {
    const { peer } = this.#candidates[source] as Candidate
    const attempt = new TransferAttempt(peer, this.#deps)
    this.#attempts.push(attempt)
    const { digest, path } = this.#job
    const fetch = new PeerFetch({ digest, path, peer, range: rangeHeader(wanted) }, this.#deps, {
      onHead: (head) => {
        if (head.sizeBytes > this.#job.maxSizeBytes) {
          this.#stop(id, 'refused', `answered with ${head.sizeBytes} bytes, too many`)
          this.#apply(this.#plan.step({ type: 'failed', fetch: id }))
          return
        }
        this.#apply(this.#plan.step({ type: 'opened', fetch: id, ...bodyOf(head) }))
        this.#startCheck()
      },
      onChunk: (chunk) => this.#received(id, fetch, attempt, chunk),
      onEnd: (end) => this.#ended(id, end),
    })
    this.#running.set(id, { fetch, attempt, source })
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
      this.#judged()
    }
    this.#startCheck()
  }

  #judged(): void {
    for (const { attempt } of this.#unjudged.splice(0)) attempt.end('complete', '')
  }

  /** A check belongs to what is known of the body; where that is not believed any more, the next one begins. */
  #startCheck(): void {
    const { body } = this.#plan
    if (this.#over || body === undefined || body === this.#checkedBody) return
    this.#checkedBody = body
    this.#check = undefined
    this.#taken = this.#sent = body.start
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
        this.#settle(this.#begun ? 'ended-early' : 'not-found')
        return
      }
      this.#check = check
      this.#flow()
    }
    if ('then' in started) void started.then(ready)
    else ready(started)
  }

  #flow(): void {
    this.#pump()
    if (this.#full || this.#over) return
    for (const { fetch } of this.#running.values()) fetch.resume()
  }

  /** Takes bytes in order through the check into the sink, until there are none or the sink is full. */
  #pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    try {
      while (!this.#over && !this.#full && this.#check !== undefined) {
        const { head } = this.#plan
        if (head === undefined || this.#plan.body !== this.#checkedBody) break
        const buffer = this.#buffers.get(head.id)
        const chunk = buffer?.shift()
        if (chunk !== undefined) {
          this.#taken += chunk.length
          this.#out(this.#check.pass(chunk))
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

  #out(outcome: CheckOutcome, last = false): boolean {
    if ('wrongFrom' in outcome) {
      this.#wrong(outcome.wrongFrom, outcome.reason)
      return false
    }
    for (const chunk of outcome.free) {
      this.#begin()
      this.#sent += chunk.length
      if (!this.#sink.write(chunk) && !last) this.#wait()
    }
    if (outcome.free.length > 0) this.#plan.step({ type: 'forwarded', to: this.#sent })
    return true
  }

  #begin(): void {
    const { body } = this.#plan
    if (this.#begun || body === undefined) return
    this.#begun = true
    this.#plan.step({ type: 'committed' })
    this.#sink.begin(body)
  }

  #wait(): void {
    if (this.#full) return
    this.#full = true
    void this.#sink.drained().then(() => {
      this.#full = false
      if (!this.#over) this.#flow()
    })
  }

  #finish(): void {
    this.#startCheck()
    const check = this.#check
    if (check === undefined) {
      // An empty body: there is nothing that a check could wait for.
      this.#begin()
      this.#settle('finished')
      return
    }
    if (!this.#out(check.finish(), true)) return
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
    for (const source of givers) this.#blame(source, outcome, reason)
    if (from === 'unknown') {
      this.#settle(this.#begun ? 'ended-early' : 'not-found')
      return
    }
    const to = this.#taken
    this.#taken = from
    this.#apply(this.#plan.step({ type: 'wrong', from, to }))
  }

  #blame(source: number, outcome: 'wrong-bytes' | 'broken', reason: string): void {
    const open = [...this.#running.values(), ...this.#unjudged].find((running) => running.source === source)
    if (open !== undefined) {
      open.attempt.end(outcome, reason)
      return
    }
    const { peer } = this.#candidates[source] as Candidate
    const attempt = new TransferAttempt(peer, this.#deps)
    this.#attempts.push(attempt)
    attempt.end(outcome, reason)
  }

  #tick(): void {
    if (this.#over) return
    const { now, limits } = this.#deps
    const nowMs = now()
    if (!this.#begun && nowMs >= this.#deadlineMs) {
      this.#settle('not-found')
      return
    }
    for (const [id, { fetch, attempt, source }] of [...this.#running]) {
      const rates = [...this.#running.values()].filter((other) => other.source !== source)
      const siblingRate = Math.max(this.#bestRate, ...rates.map((other) => rateOf(other.fetch.pace)))
      const verdict = judgePace(fetch.pace, { stallTimeoutMs: limits.stallTimeoutMs, siblingRate })
      if (verdict === 'fine' || fetch.paused) continue
      if (verdict === 'late') {
        this.#apply(this.#plan.step({ type: 'late', fetch: id }))
        continue
      }
      this.#running.delete(id)
      fetch.cancel()
      attempt.end('stalled', `no byte for ${limits.stallTimeoutMs} ms`)
      this.#apply(this.#plan.step({ type: 'failed', fetch: id }))
    }
    if (this.#over) return
    this.#apply(this.#plan.step({ type: 'tick', nowMs }))
    this.#waitForRoom(nowMs)
  }

  /** All candidates are busy: others may have got the blob meanwhile. */
  #waitForRoom(nowMs: number): void {
    if (this.#over || !this.#plan.waiting) {
      this.#waitingSinceMs = undefined
      return
    }
    this.#waitingSinceMs ??= nowMs
    if (nowMs - this.#waitingSinceMs >= this.#deps.limits.openBudgetMs) {
      this.#settle(this.#begun ? 'ended-early' : 'not-found')
      return
    }
    if (this.#job.lookAgain === undefined || nowMs - this.#lookedMs < lookAgainMs) return
    this.#lookedMs = nowMs
    this.#job.lookAgain().then(
      (found) => {
        if (this.#over) return
        const known = new Set(this.#candidates.map(({ peer }) => peer.peerId))
        const candidates = found.filter(({ peer }) => !known.has(peer.peerId))
        if (candidates.length === 0) return
        this.#candidates.push(...candidates)
        this.#apply(this.#plan.step({ type: 'candidates', candidates }))
      },
      () => {},
    )
  }
}

function bodyOf({ sizeBytes, start, end }: { sizeBytes: number; start: number; end: number }) {
  return { sizeBytes, start, end }
}
