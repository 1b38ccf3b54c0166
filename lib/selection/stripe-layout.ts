import { type WantedBytes, wholeBody } from './wanted-bytes.ts'

/** How a body is cut into ranges. */
export interface StripeSettings {
  /** Bodies up to this size come from one holder at a time. */
  readonly thresholdBytes: number
  /** Size of the further ranges; a multiple of a piece of the chunk maps. */
  readonly stripeBytes: number
  /** Holders that give ranges of one body at the same time. */
  readonly maxHolders: number
}

export const defaultStripes: StripeSettings = {
  thresholdBytes: 8 * 2 ** 20,
  stripeBytes: 4 * 2 ** 20,
  maxHolders: 4,
}

/** What containerd reads of an open-ended range before it drops the connection (CONTAINERD.md, "Parallel ranges"). */
const droppedAfterBytes = 4 * 2 ** 20
const firstCautiousBytes = 256 * 2 ** 10

/**
 * May the client drop the rest of what it asks for? It does so with open-ended ranges, when it fetches a blob in several at once.
 */
export function isOpenEnded(wanted: WantedBytes): boolean {
  return wanted !== wholeBody && wanted.kind === 'span' && wanted.end === undefined
}

/** So many stripes are one range where other holders could help, but one gives at a time. */
const longRangeStripes = 8

/** Transfers of a thread at the same time up to which each has its full width. */
const fullWidthTransfers = 2

/**
 * Holders that give ranges of each body at the same time, of so many bodies under way. Many bodies keep all holders and all of the
 * thread busy by themselves: ranges ahead would only cost memory.
 */
export function widthAmong(transfers: number, settings: Pick<StripeSettings, 'maxHolders'>): number {
  const { maxHolders } = settings
  return transfers <= fullWidthTransfers
    ? maxHolders
    : Math.max(1, Math.floor((maxHolders * fullWidthTransfers) / transfers))
}

/** Who could give, and how many of them may at the same time. */
export interface Asking {
  readonly holders: number
  readonly width: number
}

/** Last byte, included, of the first request, when nothing is known of the size; undefined where all is asked for at once. */
function firstRangeEnd(wanted: WantedBytes, asking: Asking, settings: StripeSettings): number | undefined {
  if (wanted.kind === 'suffix') return undefined
  if (isOpenEnded(wanted)) return wanted.start + droppedAfterBytes - 1
  if (asking.holders < 2) return wanted.end
  const { thresholdBytes, stripeBytes } = settings
  const sizeBytes =
    asking.width < 2 ? Math.max(thresholdBytes, longRangeStripes * stripeBytes) : thresholdBytes
  return Math.min(wanted.start + sizeBytes - 1, wanted.end ?? Number.POSITIVE_INFINITY)
}

/** What a candidate that has `reach` bytes is asked for, when nothing is known of the size; `end` is included. */
export function firstRequest(
  wanted: WantedBytes,
  reach: number,
  asking: Asking,
  settings: StripeSettings | undefined,
): { readonly wanted: WantedBytes; readonly at: number; readonly end: number } {
  const start = wanted.kind === 'span' ? wanted.start : 0
  if (wanted.kind === 'suffix' || settings === undefined) {
    return { wanted, at: start, end: Number.POSITIVE_INFINITY }
  }
  const end = Math.min(firstRangeEnd(wanted, asking, settings) ?? Number.POSITIVE_INFINITY, reach - 1)
  return end === Number.POSITIVE_INFINITY
    ? { wanted, at: start, end }
    : { wanted: { kind: 'span', start, end }, at: start, end }
}

/**
 * Last byte, included, of the range that begins at `from`, of a body wanted from `start` to `end`.
 * Ends fall on multiples of the stripe. Where the client may drop the rest, ranges start small and grow with what it took.
 */
export function rangeEnd(
  from: number,
  body: { readonly start: number; readonly end: number },
  asking: Asking & { readonly openEnded: boolean },
  settings: StripeSettings,
): number {
  const { stripeBytes } = settings
  if (asking.openEnded) {
    const taken = from - body.start
    if (taken < droppedAfterBytes) return Math.min(body.end, body.start + droppedAfterBytes - 1)
    const size = Math.max(firstCautiousBytes, Math.min(stripeBytes, taken - droppedAfterBytes))
    return Math.min(body.end, from + size - 1)
  }
  if (asking.holders < 2) return body.end
  if (from === body.start && body.end - from < settings.thresholdBytes) return body.end
  const stripes = asking.width < 2 ? longRangeStripes : 1
  return Math.min(body.end, (Math.floor(from / stripeBytes) + stripes) * stripeBytes - 1)
}

/** Bytes that one body may hold for ranges whose turn has not come. */
export function maxAheadBytes({ maxHolders, stripeBytes }: StripeSettings): number {
  return maxHolders * stripeBytes
}

/** Is this where a client that fetches in several open-ended ranges has all that it wants? It is given a moment to drop the rest. */
export function mayEndHere(from: number, body: { readonly start: number }): boolean {
  return from - body.start === droppedAfterBytes
}

/** May a range begin at `from` before all that comes before it has reached the client? */
export function mayReadAhead(
  from: number,
  body: { readonly start: number },
  openEnded: boolean,
  settings: StripeSettings,
): boolean {
  return !openEnded || from - body.start >= 2 * droppedAfterBytes + settings.stripeBytes
}
