import type { Candidate } from '../core/lookup.ts'
import { PlanState } from './plan-state.ts'
import type { Fetch, PlanEffect, PlanEvent, PlanOptions, Received } from './plan-types.ts'
import { assignWork, hedge } from './plan-work.ts'
import { type BodySpan, resolveWanted, wholeBody } from './wanted-bytes.ts'

/**
 * Gets one body as a plan of ranges, from several candidates at once (DESIGN §6). A range that breaks goes on elsewhere from the
 * byte reached; one that is late is asked for a second time, and whichever answer is ahead counts. Free candidates take the next
 * range, so a slow one does less.
 *
 * Invariants: "in order": the ranges that are not passed yet follow each other without a gap from the byte passed last.
 * "Bounded": only the first range is fetched without a reservation. "Ends": each request that does not end well takes
 * its candidate out (one comes back for each `returnBytes` of the body), is the only one after which it was asked again, is one of a bounded number
 * of answers that it is busy, or was overtaken by one that went on; and a range is asked for twice a bounded number of times.
 */
export class TransferPlan {
  readonly #state: PlanState

  constructor(candidates: readonly Pick<Candidate, 'reach'>[], options: PlanOptions) {
    this.#state = new PlanState(candidates, options)
  }

  /** Size of the blob and the bytes that the client gets, once a candidate has told. */
  get body(): BodySpan | undefined {
    return this.#state.body
  }

  /** The range whose bytes are next; complete when the answer that brought its last byte has ended well, too. */
  get head(): { readonly id: number; readonly complete: boolean } | undefined {
    const [span] = this.#state.spans
    if (span === undefined || this.body === undefined) return undefined
    return { id: span.id, complete: span.reached > span.end && span.fetches.length === 0 }
  }

  get contributors(): ReadonlySet<number> {
    return this.#state.given.givers
  }

  /** No request is under way, though bytes are missing: all that are left are busy. */
  get waiting(): boolean {
    const { done, parked, fetches } = this.#state
    return !done && !parked && fetches.size === 0 && this.head?.complete !== true
  }

  /** Who gave bytes from `from` up to, not including, `to`, as far as they were not forwarded yet. */
  giversOf(from: number, to: number): Set<number> {
    return this.#state.given.between(from, to)
  }

  step(event: PlanEvent): PlanEffect[] {
    const state = this.#state
    const effects: PlanEffect[] = []
    // Wrong bytes may be found after the last one has come.
    if (event.type === 'wrong' && state.finished) state.done = state.finished = false
    if (state.done) return effects
    // What the transfer tells in passing gives nobody work.
    if (event.type === 'forwarded') state.given.forward(event.to)
    state.committed ||= event.type === 'committed'
    if (event.type === 'committed' || event.type === 'forwarded') return effects
    if (event.type === 'unparked' && !state.parked) return effects
    if (event.type === 'unparked') state.parked = false
    const fetch = 'fetch' in event ? state.fetches.get(event.fetch) : undefined
    if ('fetch' in event && fetch === undefined) return effects
    if (fetch !== undefined) this.#answered(fetch, event, effects)
    else if (event.type === 'candidates') state.sources.add(event.candidates)
    else if (event.type === 'tick') {
      state.sources.wake(event.nowMs)
      state.rested ||= state.resting
    } else if (event.type === 'passed') state.release(state.spans.shift())
    else if (event.type === 'wrong') this.#wrong(event.from, event.to, effects)
    if (!state.parked) assignWork(state, effects)
    return effects
  }

  /** Bytes have come. `take` of them after the first `skip` are new, and follow what came of their range before. */
  receive(id: number, bytes: number): Received | undefined {
    const fetch = this.#state.fetches.get(id)
    if (fetch?.opened !== true || this.#state.done) return undefined
    const { span, at } = fetch
    const to = Math.min(at + bytes, fetch.end + 1)
    fetch.at = to
    const skip = Math.max(0, Math.min(span.reached, to) - at)
    const take = to - at - skip
    if (take > 0) {
      this.#state.given.note(fetch.source, span.reached, to)
      span.reached = to
    }
    return { span: span.id, skip, take }
  }

  /** Ends everything; reservations are given back. */
  close(): PlanEffect[] {
    return this.#state.end([])
  }

  #answered(fetch: Fetch, event: PlanEvent, effects: PlanEffect[]): void {
    const state = this.#state
    if (event.type === 'opened') this.#open(fetch, event, effects)
    else if (event.type === 'unsatisfiable') this.#unsatisfiable(fetch, event.sizeBytes, effects)
    else if (event.type === 'ended') this.#ended(fetch, effects)
    else if (event.type === 'failed') this.#failed(fetch, event.interrupted === true, effects)
    else if (event.type === 'late') hedge(state, fetch, effects)
    else if (event.type === 'parked') {
      state.remove(fetch)
      state.parked = true
    } else if (event.type === 'busy') {
      state.remove(fetch)
      state.sources.busy(fetch.source, event.retryAtMs)
    }
  }

  #failed(fetch: Fetch, interrupted: boolean, effects: PlanEffect[]): void {
    const state = this.#state
    const { source, span } = fetch
    if (interrupted && state.committed && state.sources.mayAskAgain(source, span.reached)) state.remove(fetch)
    else state.fail(fetch, 'failed', effects)
  }

  #open(fetch: Fetch, head: BodySpan, effects: PlanEffect[]): void {
    const state = this.#state
    if (fetch.opened) {
      state.fail(fetch, 'failed', effects)
      return
    }
    const { body } = state
    if (body !== undefined) {
      if (head.sizeBytes !== body.sizeBytes) {
        state.fail(fetch, 'disagrees', effects)
        return
      }
      if (head.start !== fetch.at || head.end !== fetch.end) state.fail(fetch, 'failed', effects)
      else fetch.opened = true
      return
    }
    const span = resolveWanted(state.options.wanted, head.sizeBytes)
    const end = span === undefined ? -1 : Math.min(span.end, fetch.end)
    if (span === undefined || head.start !== span.start || head.end !== end) {
      state.fail(fetch, 'failed', effects)
      return
    }
    state.body = span
    state.frontier = end + 1
    Object.assign(fetch, { opened: true, at: span.start, end })
    Object.assign(fetch.span, { start: span.start, end, reached: span.start })
    for (const other of [...fetch.span.fetches]) if (other !== fetch) state.cancel(other, effects, true)
  }

  #unsatisfiable(fetch: Fetch, sizeBytes: number, effects: PlanEffect[]): void {
    const state = this.#state
    const { wanted } = state.options
    const empty = wanted === wholeBody && sizeBytes === 0
    if (state.body !== undefined || (!empty && resolveWanted(wanted, sizeBytes) !== undefined)) {
      state.fail(fetch, 'failed', effects)
      return
    }
    state.remove(fetch)
    if (empty) {
      state.body = { sizeBytes: 0, start: 0, end: -1 }
      Object.assign(fetch.span, { start: 0, end: -1, reached: 0 })
      state.frontier = 0
      return
    }
    state.end(effects)
    effects.push({ type: 'unsatisfiable', sizeBytes })
  }

  #ended(fetch: Fetch, effects: PlanEffect[]): void {
    const state = this.#state
    if (!fetch.opened || fetch.at <= fetch.end) {
      state.fail(fetch, 'failed', effects)
      return
    }
    const { span } = fetch
    state.remove(fetch)
    if (span.reached <= span.end) return
    for (const other of [...span.fetches]) state.cancel(other, effects, true)
  }

  /** Ranges that have bytes of somebody who gave wrong ones begin anew with others. */
  #wrong(from: number, to: number, effects: PlanEffect[]): void {
    const state = this.#state
    const liars = this.giversOf(from, to)
    for (const source of liars) state.sources.fail(source, 'lied', from)
    if (!state.committed && from === state.body?.start) {
      state.rewind(effects)
      return
    }
    const [head] = state.spans
    const partly = head !== undefined && head.start < to
    for (const [index, span] of [...state.spans.entries()]) {
      const tainted =
        span.fetches.some(({ source }) => liars.has(source)) ||
        [...this.giversOf(span.start, span.reached)].some((source) => liars.has(source))
      if (!(index === 0 && partly) && !tainted) continue
      state.drop(span, effects)
      state.spans[index] = state.newSpan(span.start, span.end, false)
    }
    state.given.forgetFrom(liars)
    if (partly) state.spans.shift()
    state.spans.unshift(state.newSpan(from, partly ? head.end : to - 1, false))
  }
}
