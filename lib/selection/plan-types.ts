import type { Candidate } from '../core/lookup.ts'
import type { HedgeBudget } from './hedge-budget.ts'
import type { StripeSettings } from './stripe-layout.ts'
import type { BodySpan, WantedBytes } from './wanted-bytes.ts'

export interface PlanOptions {
  readonly wanted: WantedBytes
  /** Undefined: the whole is asked for at once, from one candidate at a time. */
  readonly stripes: StripeSettings | undefined
  /** Holders that may give ranges at the same time now, where that is less than the stripes say. */
  readonly width?: () => number
  /** The client has bytes before `wanted` already, of a blob of this size. */
  readonly begunSizeBytes?: number | undefined
  /** Where nobody else is left, one that failed is asked again after so many bytes of the body; absent: never. */
  readonly returnBytes?: number | undefined
  /** Memory for ranges that are fetched before it is their turn; what was reserved is released. */
  readonly budget: { reserve(bytes: number): boolean; release(bytes: number): void }
  /** Shared by all transfers; absent: no bound but that of each range. */
  readonly hedges?: HedgeBudget | undefined
}

/** `fetch` names a request of an earlier effect. Events of requests that are over change nothing. */
export type PlanEvent =
  | { readonly type: 'start' }
  /** More candidates, after those that there were; they get the next indices. */
  | { readonly type: 'candidates'; readonly candidates: readonly Pick<Candidate, 'reach'>[] }
  | { readonly type: 'tick'; readonly nowMs: number }
  /** The client has been sent something: it is too late to start anew. */
  | { readonly type: 'committed' }
  /** All bytes before `to` have gone out. */
  | { readonly type: 'forwarded'; readonly to: number }
  /** The first range is complete, and all of its bytes were taken. */
  | { readonly type: 'passed' }
  /** Of the bytes taken, those from `from` up to, not including, `to` are to be fetched anew from others. */
  | { readonly type: 'wrong'; readonly from: number; readonly to: number }
  /** The answer begins: `start` to `end` of a blob of `sizeBytes`. */
  | ({ readonly type: 'opened'; readonly fetch: number } & BodySpan)
  /** The candidate says that the blob, of `sizeBytes`, has none of the wanted bytes. */
  | { readonly type: 'unsatisfiable'; readonly fetch: number; readonly sizeBytes: number }
  /** The answer has ended, whether with all the bytes or not. */
  | { readonly type: 'ended'; readonly fetch: number }
  /** It refused, broke, stalled or answered something that does not fit; `interrupted`: in the middle of a right answer. */
  | { readonly type: 'failed'; readonly fetch: number; readonly interrupted?: boolean }
  /** It has no room for the request before this monotonic time. */
  | { readonly type: 'busy'; readonly fetch: number; readonly retryAtMs: number }
  /** It was given up because the client takes nothing; the plan rests until `unparked`. */
  | { readonly type: 'parked'; readonly fetch: number }
  /** The client takes bytes again. */
  | { readonly type: 'unparked' }
  /** It brings bytes later than could be expected. */
  | { readonly type: 'late'; readonly fetch: number }

export type PlanEffect =
  /** Ask the candidate with this index for these bytes. */
  | {
      readonly type: 'request'
      readonly fetch: number
      readonly source: number
      readonly wanted: WantedBytes
    }
  /** Nothing more is wanted of the request; `overtaken` by another one that was asked for the same bytes. */
  | { readonly type: 'cancel'; readonly fetch: number; readonly overtaken: boolean }
  /** The request is over because its answer is no use; `disagrees` about the size of the blob. */
  | { readonly type: 'failed'; readonly fetch: number; readonly disagrees: boolean }
  /** What came of this range is not wanted any more. */
  | { readonly type: 'drop'; readonly span: number }
  | { readonly type: 'finish' }
  /** The body must end before its length. */
  | { readonly type: 'end-early' }
  | { readonly type: 'not-found' }
  | { readonly type: 'unsatisfiable'; readonly sizeBytes: number }

export interface Received {
  readonly span: number
  readonly skip: number
  readonly take: number
}

/** A range of the body; `end` included, `reached` is its next byte. */
export interface Span {
  readonly id: number
  start: number
  end: number
  reached: number
  fetches: Fetch[]
  /** Memory was reserved for it. */
  ahead: boolean
  hedges: number
  /** It is asked for twice, and the budget of hedges knows. */
  hedging: boolean
}

/** A request for the bytes of a range from `at` to `end`. */
export interface Fetch {
  readonly id: number
  readonly source: number
  readonly span: Span
  at: number
  end: number
  opened: boolean
}
