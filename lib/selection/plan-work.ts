import type { PlanState } from './plan-state.ts'
import type { Fetch, PlanEffect, Span } from './plan-types.ts'
import {
  firstRequest,
  isOpenEnded,
  maxAheadBytes,
  mayEndHere,
  mayReadAhead,
  rangeEnd,
} from './stripe-layout.ts'
import type { WantedBytes } from './wanted-bytes.ts'

/** Further requests for a range that is late. */
const maxHedges = 4

/** Gives work to the candidates that are free, and finds out when there is none left. */
export function assignWork(state: PlanState, effects: PlanEffect[]): void {
  while (!state.done) {
    const orphan = state.spans.find(
      ({ fetches, reached, end }) => fetches.length === 0 && (state.body === undefined || reached <= end),
    )
    if (orphan !== undefined) {
      const source = state.sources.pick(state.offsetOf(orphan))
      if (source === undefined) break
      request(state, orphan, source, effects)
    } else if (!extend(state, effects)) break
  }
  if (state.done) return
  const [head] = state.spans
  if (head === undefined && state.body !== undefined && state.frontier > state.body.end) {
    state.done = state.finished = true
    effects.push({ type: 'finish' })
    return
  }
  const goesOn =
    head !== undefined && (head.fetches.length > 0 || (state.body !== undefined && head.reached > head.end))
  const offset = head === undefined ? state.frontier : state.offsetOf(head)
  if (goesOn || state.sources.canServe(offset)) return
  const { returnBytes } = state.options
  if (state.committed && returnBytes !== undefined && state.sources.returnOne(offset, returnBytes)) {
    assignWork(state, effects)
    return
  }
  state.end(effects)
  effects.push({ type: state.committed ? 'end-early' : 'not-found' })
}

/** A second request for the range of one that is late, where somebody is free for it. */
export function hedge(state: PlanState, { span, source }: Fetch, effects: PlanEffect[]): void {
  if (span.fetches.length > 1 || span.hedges >= maxHedges) return
  const urgent = span === state.spans[0]
  const other = state.sources.pick(state.offsetOf(span), { except: [source], urgent })
  if (other === undefined || state.options.hedges?.take() === false) return
  span.hedges++
  span.hedging = true
  state.sources.get(source).slow = true
  request(state, span, other, effects)
}

function request(state: PlanState, span: Span, source: number, effects: PlanEffect[]): void {
  const { reach } = state.sources.get(source)
  const { options } = state
  let wanted: WantedBytes
  let at = span.reached
  let end = Math.min(span.end, reach - 1)
  if (state.body === undefined) {
    ;({ wanted, at, end } = firstRequest(options.wanted, reach, state.asking, options.stripes))
  } else wanted = { kind: 'span', start: at, end }
  const fetch: Fetch = { id: state.nextId(), source, span, at, end, opened: false }
  state.fetches.set(fetch.id, fetch)
  span.fetches.push(fetch)
  state.options.hedges?.count(1)
  state.sources.get(source).running++
  effects.push({ type: 'request', fetch: fetch.id, source, wanted })
}

/** The next range of the body begins; false where none can. */
function extend(state: PlanState, effects: PlanEffect[]): boolean {
  const { wanted, stripes, budget } = state.options
  const { body, frontier, sources } = state
  if (body === undefined || frontier > body.end) return false
  const ahead = state.spans.length > 0
  const openEnded = isOpenEnded(wanted)
  let end = body.end
  const source = sources.pick(frontier)
  if (source === undefined) return false
  if (stripes !== undefined) {
    if (state.spans.filter(({ fetches }) => fetches.length > 0).length >= state.asking.width) return false
    if (ahead && state.asking.width < 2) return false
    if (ahead && !mayReadAhead(frontier, body, openEnded, stripes)) return false
    if (openEnded && mayEndHere(frontier, body) && !state.rested) {
      state.resting = true
      return false
    }
    end = rangeEnd(frontier, body, { ...state.asking, openEnded }, stripes)
  } else if (ahead) return false
  end = Math.min(end, sources.get(source).reach - 1)
  const sizeBytes = end - frontier + 1
  if (ahead && stripes !== undefined && state.aheadBytes + sizeBytes > maxAheadBytes(stripes)) return false
  if (ahead && !budget.reserve(sizeBytes)) return false
  const span = state.newSpan(frontier, end, ahead)
  state.spans.push(span)
  state.frontier = end + 1
  request(state, span, source, effects)
  return true
}
