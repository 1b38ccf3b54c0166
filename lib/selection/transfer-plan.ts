import type { Candidate } from '../core/lookup.ts'
import { GivenBytes } from './given-bytes.ts'
import { PlanSources } from './plan-sources.ts'
import type { Fetch, PlanEffect, PlanEvent, PlanOptions, Received, Span } from './plan-types.ts'
import { firstRequest, isOpenEnded, mayReadAhead, rangeEnd } from './stripe-layout.ts'
import { type BodySpan, resolveWanted, type WantedBytes, wholeBody } from './wanted-bytes.ts'

/** Further requests for a range that is late. */
const maxHedges = 4

/**
 * Gets one body as a plan of ranges, from several candidates at once (DESIGN §6). A range that breaks goes on elsewhere from the
 * byte reached; one that is late is asked for a second time, and whichever answer is ahead counts. Free candidates take the next
 * range, so a slow one does less.
 *
 * Invariants: "in order": the ranges that are not passed yet follow each other without a gap from the byte passed last.
 * "Bounded": only the first range is fetched without a reservation. "Ends": each request that does not end well takes
 * its candidate out, is one of a bounded number of answers that it is busy, or was overtaken by one that went on; and a range
 * is asked for twice a bounded number of times.
 */
export class TransferPlan {
  readonly #options: PlanOptions
  readonly #sources: PlanSources
  readonly #fetches = new Map<number, Fetch>()
  readonly #given = new GivenBytes()
  #spans: Span[] = []
  #body: BodySpan | undefined
  /** The first byte that is in no range yet. */
  #frontier = 0
  #committed = false
  #done = false
  #finished = false
  #nextId = 1

  constructor(candidates: readonly Pick<Candidate, 'reach'>[], options: PlanOptions) {
    this.#options = options
    this.#sources = new PlanSources(candidates)
    if (options.begunSizeBytes === undefined) this.#rewind([])
    else {
      this.#committed = true
      this.#body = resolveWanted(options.wanted, options.begunSizeBytes)
      this.#frontier = this.#body?.start ?? 0
      this.#done = this.#body === undefined
    }
  }

  /** Size of the blob and the bytes that the client gets, once a candidate has told. */
  get body(): BodySpan | undefined {
    return this.#body
  }

  /** The range whose bytes are next; complete when the answer that brought its last byte has ended well, too. */
  get head(): { readonly id: number; readonly complete: boolean } | undefined {
    const [span] = this.#spans
    if (span === undefined || this.#body === undefined) return undefined
    return { id: span.id, complete: span.reached > span.end && span.fetches.length === 0 }
  }

  get contributors(): ReadonlySet<number> {
    return this.#given.givers
  }

  /** No request is under way, though bytes are missing: all that are left are busy. */
  get waiting(): boolean {
    return !this.#done && this.#fetches.size === 0 && this.head?.complete !== true
  }

  /** Who gave bytes from `from` up to, not including, `to`, as far as they were not forwarded yet. */
  giversOf(from: number, to: number): Set<number> {
    return this.#given.between(from, to)
  }

  step(event: PlanEvent): PlanEffect[] {
    const effects: PlanEffect[] = []
    // Wrong bytes may be found after the last one has come.
    if (event.type === 'wrong' && this.#finished) this.#done = this.#finished = false
    if (this.#done) return effects
    // What the transfer tells in passing gives nobody work.
    if (event.type === 'forwarded') this.#given.forward(event.to)
    this.#committed ||= event.type === 'committed'
    if (event.type === 'committed' || event.type === 'forwarded') return effects
    const fetch = 'fetch' in event ? this.#fetches.get(event.fetch) : undefined
    if ('fetch' in event && fetch === undefined) return effects
    if (fetch !== undefined) this.#answered(fetch, event, effects)
    else if (event.type === 'candidates') this.#sources.add(event.candidates)
    else if (event.type === 'tick') this.#sources.wake(event.nowMs)
    else if (event.type === 'passed') this.#release(this.#spans.shift())
    else if (event.type === 'wrong') this.#wrong(event.from, event.to, effects)
    this.#assign(effects)
    return effects
  }

  #answered(fetch: Fetch, event: PlanEvent, effects: PlanEffect[]): void {
    if (event.type === 'opened') this.#open(fetch, event, effects)
    else if (event.type === 'unsatisfiable') this.#unsatisfiable(fetch, event.sizeBytes, effects)
    else if (event.type === 'ended') this.#ended(fetch, effects)
    else if (event.type === 'failed') this.#fail(fetch, 'failed', effects)
    else if (event.type === 'late') this.#hedge(fetch, effects)
    else if (event.type === 'busy') {
      this.#remove(fetch)
      this.#sources.busy(fetch.source, event.retryAtMs)
    }
  }

  /** Bytes have come. `take` of them after the first `skip` are new, and follow what came of their range before. */
  receive(id: number, bytes: number): Received | undefined {
    const fetch = this.#fetches.get(id)
    if (fetch?.opened !== true || this.#done) return undefined
    const { span, at } = fetch
    const to = Math.min(at + bytes, fetch.end + 1)
    fetch.at = to
    const skip = Math.max(0, Math.min(span.reached, to) - at)
    const take = to - at - skip
    if (take > 0) {
      this.#given.note(fetch.source, span.reached, to)
      span.reached = to
    }
    return { span: span.id, skip, take }
  }

  /** Ends everything; reservations are given back. */
  close(): PlanEffect[] {
    return this.#end([])
  }

  /** What is known of the body came from a candidate that gave nothing, or may have lied: it is not believed. */
  #rewind(effects: PlanEffect[]): void {
    for (const span of this.#spans) this.#drop(span, effects)
    this.#given.clear()
    this.#body = undefined
    this.#spans = [this.#newSpan(0, -1, false)]
    this.#sources.forgetDisagreement()
  }

  #newSpan(start: number, end: number, ahead: boolean): Span {
    return { id: this.#nextId++, start, end, reached: start, fetches: [], ahead, hedges: 0 }
  }

  #drop(span: Span, effects: PlanEffect[]): void {
    for (const fetch of [...span.fetches]) this.#cancel(fetch, effects, false)
    this.#release(span)
    effects.push({ type: 'drop', span: span.id })
  }

  #release(span: Span | undefined): void {
    if (span?.ahead !== true) return
    this.#options.budget.release(span.end - span.start + 1)
    span.ahead = false
  }

  #remove(fetch: Fetch): void {
    this.#fetches.delete(fetch.id)
    fetch.span.fetches = fetch.span.fetches.filter((other) => other !== fetch)
    this.#sources.get(fetch.source).running--
  }

  #cancel(fetch: Fetch, effects: PlanEffect[], overtaken: boolean): void {
    this.#remove(fetch)
    if (overtaken) this.#sources.get(fetch.source).slow = true
    effects.push({ type: 'cancel', fetch: fetch.id, overtaken })
  }

  #open(fetch: Fetch, head: BodySpan, effects: PlanEffect[]): void {
    if (fetch.opened) {
      this.#fail(fetch, 'failed', effects)
      return
    }
    const body = this.#body
    if (body !== undefined) {
      if (head.sizeBytes !== body.sizeBytes) {
        this.#fail(fetch, 'disagrees', effects)
        return
      }
      if (head.start !== fetch.at || head.end !== fetch.end) this.#fail(fetch, 'failed', effects)
      else fetch.opened = true
      return
    }
    const span = resolveWanted(this.#options.wanted, head.sizeBytes)
    const end = span === undefined ? -1 : Math.min(span.end, fetch.end)
    if (span === undefined || head.start !== span.start || head.end !== end) {
      this.#fail(fetch, 'failed', effects)
      return
    }
    this.#body = span
    this.#frontier = end + 1
    Object.assign(fetch, { opened: true, at: span.start, end })
    Object.assign(fetch.span, { start: span.start, end, reached: span.start })
    for (const other of [...fetch.span.fetches]) if (other !== fetch) this.#cancel(other, effects, true)
  }

  #unsatisfiable(fetch: Fetch, sizeBytes: number, effects: PlanEffect[]): void {
    const { wanted } = this.#options
    const empty = wanted === wholeBody && sizeBytes === 0
    if (this.#body !== undefined || (!empty && resolveWanted(wanted, sizeBytes) !== undefined)) {
      this.#fail(fetch, 'failed', effects)
      return
    }
    this.#remove(fetch)
    if (empty) {
      this.#body = { sizeBytes: 0, start: 0, end: -1 }
      Object.assign(fetch.span, { start: 0, end: -1, reached: 0 })
      this.#frontier = 0
      return
    }
    this.#end(effects)
    effects.push({ type: 'unsatisfiable', sizeBytes })
  }

  #ended(fetch: Fetch, effects: PlanEffect[]): void {
    if (!fetch.opened || fetch.at <= fetch.end) {
      this.#fail(fetch, 'failed', effects)
      return
    }
    const { span } = fetch
    this.#remove(fetch)
    if (span.reached <= span.end) return
    for (const other of [...span.fetches]) this.#cancel(other, effects, true)
  }

  #fail(fetch: Fetch, state: 'failed' | 'disagrees', effects: PlanEffect[]): void {
    this.#remove(fetch)
    effects.push({ type: 'failed', fetch: fetch.id, disagrees: state === 'disagrees' })
    this.#sources.fail(fetch.source, state)
    if (this.#given.givers.size === 0 && !this.#committed && this.#fetches.size === 0) this.#rewind(effects)
  }

  #wrong(from: number, to: number, effects: PlanEffect[]): void {
    const liars = this.giversOf(from, to)
    for (const source of liars) this.#sources.fail(source)
    if (!this.#committed && from === this.#body?.start) {
      this.#rewind(effects)
      return
    }
    const [head] = this.#spans
    const partly = head !== undefined && head.start < to
    for (const [index, span] of [...this.#spans.entries()]) {
      const tainted =
        span.fetches.some(({ source }) => liars.has(source)) ||
        [...this.giversOf(span.start, span.reached)].some((source) => liars.has(source))
      if (!(index === 0 && partly) && !tainted) continue
      this.#drop(span, effects)
      this.#spans[index] = this.#newSpan(span.start, span.end, false)
    }
    this.#given.forgetFrom(liars)
    if (partly) this.#spans.shift()
    this.#spans.unshift(this.#newSpan(from, partly ? head.end : to - 1, false))
  }

  #hedge(fetch: Fetch, effects: PlanEffect[]): void {
    const { span, source } = fetch
    if (span.fetches.length > 1 || span.hedges >= maxHedges) return
    const other = this.#sources.pick(this.#offsetOf(span), {
      except: [source],
      urgent: span === this.#spans[0],
    })
    if (other === undefined) return
    span.hedges++
    this.#sources.get(source).slow = true
    this.#request(span, other, effects)
  }

  #offsetOf(span: Span): number {
    if (this.#body !== undefined) return span.reached
    const { wanted } = this.#options
    // A candidate that is still growing can't tell where a suffix begins.
    return wanted.kind === 'suffix' ? Number.MAX_SAFE_INTEGER : wanted.start
  }

  #request(span: Span, source: number, effects: PlanEffect[]): void {
    const { reach } = this.#sources.get(source)
    let wanted: WantedBytes
    let at = span.reached
    let end = Math.min(span.end, reach - 1)
    if (this.#body === undefined) {
      ;({ wanted, at, end } = firstRequest(
        this.#options.wanted,
        reach,
        this.#sources.readyCount,
        this.#options.stripes,
      ))
    } else wanted = { kind: 'span', start: at, end }
    const fetch: Fetch = { id: this.#nextId++, source, span, at, end, opened: false }
    this.#fetches.set(fetch.id, fetch)
    span.fetches.push(fetch)
    this.#sources.get(source).running++
    effects.push({ type: 'request', fetch: fetch.id, source, wanted })
  }

  /** Gives work to the candidates that are free, and finds out when there is none left. */
  #assign(effects: PlanEffect[]): void {
    while (!this.#done) {
      const orphan = this.#spans.find(
        ({ fetches, reached, end }) => fetches.length === 0 && (this.#body === undefined || reached <= end),
      )
      if (orphan !== undefined) {
        const source = this.#sources.pick(this.#offsetOf(orphan))
        if (source === undefined) break
        this.#request(orphan, source, effects)
      } else if (!this.#extend(effects)) break
    }
    if (this.#done) return
    const [head] = this.#spans
    if (head === undefined && this.#body !== undefined && this.#frontier > this.#body.end) {
      this.#done = this.#finished = true
      effects.push({ type: 'finish' })
      return
    }
    if (
      head !== undefined &&
      (head.fetches.length > 0 || (this.#body !== undefined && head.reached > head.end))
    )
      return
    if (this.#sources.canServe(head === undefined ? this.#frontier : this.#offsetOf(head))) return
    this.#end(effects)
    effects.push({ type: this.#committed ? 'end-early' : 'not-found' })
  }

  /** The next range of the body begins; false where none can. */
  #extend(effects: PlanEffect[]): boolean {
    const { wanted, stripes, budget } = this.#options
    const body = this.#body
    if (body === undefined || this.#frontier > body.end) return false
    const ahead = this.#spans.length > 0
    const openEnded = isOpenEnded(wanted)
    let end = body.end
    const source = this.#sources.pick(this.#frontier)
    if (source === undefined) return false
    if (stripes !== undefined) {
      if (this.#spans.filter(({ fetches }) => fetches.length > 0).length >= stripes.maxHolders) return false
      if (ahead && !mayReadAhead(this.#frontier, body, openEnded, stripes)) return false
      end = rangeEnd(this.#frontier, body, { holders: this.#sources.readyCount, openEnded }, stripes)
    } else if (ahead) return false
    end = Math.min(end, this.#sources.get(source).reach - 1)
    if (ahead && !budget.reserve(end - this.#frontier + 1)) return false
    const span = this.#newSpan(this.#frontier, end, ahead)
    this.#spans.push(span)
    this.#frontier = end + 1
    this.#request(span, source, effects)
    return true
  }

  #end(effects: PlanEffect[]): PlanEffect[] {
    this.#done = true
    for (const fetch of [...this.#fetches.values()]) this.#cancel(fetch, effects, false)
    for (const span of this.#spans) this.#release(span)
    this.#spans = []
    return effects
  }
}
