import type { Candidate } from '../core/lookup.ts'
import { GivenBytes } from './given-bytes.ts'
import { PlanSources } from './plan-sources.ts'
import type { Fetch, PlanEffect, PlanOptions, Span } from './plan-types.ts'
import type { Asking } from './stripe-layout.ts'
import { type BodySpan, resolveWanted } from './wanted-bytes.ts'

/** What a plan knows of its body, the ranges that are not passed yet, the requests under way and the candidates. */
export class PlanState {
  readonly options: PlanOptions
  readonly sources: PlanSources
  readonly fetches = new Map<number, Fetch>()
  readonly given = new GivenBytes()
  spans: Span[] = []
  body: BodySpan | undefined
  /** The first byte that is in no range yet. */
  frontier = 0
  /** The client has been sent something. */
  committed = false
  done = false
  /** The client takes nothing: nobody is asked. */
  parked = false
  /** The client may be about to drop the rest: nothing is asked for before the next tick; and that is over. */
  resting = false
  rested = false
  /** Done, with all bytes. */
  finished = false
  #nextId = 1

  constructor(candidates: readonly Pick<Candidate, 'reach'>[], options: PlanOptions) {
    this.options = options
    this.sources = new PlanSources(candidates)
    if (options.begunSizeBytes === undefined) this.rewind([])
    else {
      this.committed = true
      this.body = resolveWanted(options.wanted, options.begunSizeBytes)
      this.frontier = this.body?.start ?? 0
      this.done = this.body === undefined
    }
  }

  /** What is reserved for ranges whose turn has not come. */
  get aheadBytes(): number {
    return this.spans.reduce((sum, { ahead, start, end }) => sum + (ahead ? end - start + 1 : 0), 0)
  }

  get asking(): Asking {
    const { stripes, width } = this.options
    const most = stripes?.maxHolders ?? 1
    return { holders: this.sources.readyCount, width: Math.min(most, width?.() ?? most) }
  }

  /** The first byte of the body that is not there. */
  get neededOffset(): number {
    return this.body === undefined ? 0 : (this.spans[0]?.reached ?? this.frontier)
  }

  nextId(): number {
    return this.#nextId++
  }

  newSpan(start: number, end: number, ahead: boolean): Span {
    return { id: this.nextId(), start, end, reached: start, fetches: [], ahead, hedges: 0, hedging: false }
  }

  /** What is known of the body came from a candidate that gave nothing, or may have lied: it is not believed. */
  rewind(effects: PlanEffect[]): void {
    for (const span of this.spans) this.drop(span, effects)
    this.given.clear()
    this.body = undefined
    this.spans = [this.newSpan(0, -1, false)]
    this.sources.forgetDisagreement()
  }

  drop(span: Span, effects: PlanEffect[]): void {
    for (const fetch of [...span.fetches]) this.cancel(fetch, effects, false)
    this.release(span)
    effects.push({ type: 'drop', span: span.id })
  }

  /** Gives back the memory that was reserved for the range. */
  release(span: Span | undefined): void {
    if (span?.ahead !== true) return
    this.options.budget.release(span.end - span.start + 1)
    span.ahead = false
  }

  remove(fetch: Fetch): void {
    this.fetches.delete(fetch.id)
    const { span } = fetch
    span.fetches = span.fetches.filter((other) => other !== fetch)
    this.options.hedges?.count(-1)
    if (span.hedging && span.fetches.length < 2) {
      span.hedging = false
      this.options.hedges?.give()
    }
    this.sources.get(fetch.source).running--
  }

  cancel(fetch: Fetch, effects: PlanEffect[], overtaken: boolean): void {
    this.remove(fetch)
    if (overtaken) this.sources.get(fetch.source).slow = true
    effects.push({ type: 'cancel', fetch: fetch.id, overtaken })
  }

  /** Takes the request and its candidate out; where nobody has given anything yet, all begins anew. */
  fail(fetch: Fetch, state: 'failed' | 'disagrees', effects: PlanEffect[]): void {
    this.remove(fetch)
    effects.push({ type: 'failed', fetch: fetch.id, disagrees: state === 'disagrees' })
    this.sources.fail(fetch.source, state, this.neededOffset)
    if (this.given.givers.size === 0 && !this.committed && this.fetches.size === 0) this.rewind(effects)
  }

  /** Nothing more is done; reservations are given back. */
  end(effects: PlanEffect[]): PlanEffect[] {
    this.done = true
    for (const fetch of [...this.fetches.values()]) this.cancel(fetch, effects, false)
    for (const span of this.spans) this.release(span)
    this.spans = []
    return effects
  }

  /** The byte that the range needs next. */
  offsetOf(span: Span): number {
    if (this.body !== undefined) return span.reached
    const { wanted } = this.options
    // A candidate that is still growing can't tell where a suffix begins.
    return wanted.kind === 'suffix' ? Number.MAX_SAFE_INTEGER : wanted.start
  }
}
