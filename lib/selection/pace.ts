/** How a request for bytes goes; times in milliseconds. */
export interface Pace {
  /** Since it was asked. */
  readonly ageMs: number
  /** The head of its answer has come. */
  readonly opened: boolean
  readonly bytes: number
  /** Time in which it was read, without the time that the reader made it wait. */
  readonly readMs: number
  /** Since the last byte, or since it was read again. */
  readonly quietMs: number
}

export interface PaceContext {
  /** No byte for this long is a stall, whatever the rate was. */
  readonly stallTimeoutMs: number
  /** The best rate of the other candidates in this transfer, bytes per millisecond; 0 where none is known. */
  readonly siblingRate: number
}

/** `late`: worth asking somebody else too. `stalled`: given up. */
export type PaceVerdict = 'fine' | 'late' | 'stalled'

const minLateMs = 250
/** A gap this many times as long as 64 KiB usually take is a sign of trouble. */
const gapFactor = 32
const gapBytes = 64 * 2 ** 10
const siblingFactor = 8
const minRatedBytes = 64 * 2 ** 10
/** Bytes per millisecond below which another candidate is always worth a try. */
const minRate = 64

/** Bytes per millisecond. */
export function rateOf(pace: Pick<Pace, 'bytes' | 'readMs'>): number {
  return pace.bytes / Math.max(1, pace.readMs)
}

/**
 * Judges a request by its silence and its rate: a fast one that falls silent is late after a quarter of a second, a slow one only
 * later, and none goes on without a byte for longer than the stall timeout.
 */
export function judgePace(pace: Pace, context: PaceContext): PaceVerdict {
  const { stallTimeoutMs, siblingRate } = context
  const soonMs = Math.min(minLateMs, stallTimeoutMs / 2)
  if (!pace.opened) return pace.ageMs >= Math.min(2 * minLateMs, stallTimeoutMs / 2) ? 'late' : 'fine'
  if (pace.quietMs >= stallTimeoutMs) return 'stalled'
  const rate = rateOf(pace)
  const usualGapMs = rate === 0 ? 0 : (gapFactor * gapBytes) / rate
  if (pace.quietMs >= Math.max(soonMs, Math.min(usualGapMs, stallTimeoutMs / 2))) return 'late'
  if (pace.readMs >= stallTimeoutMs / 2 && rate < minRate) return 'late'
  const rated =
    pace.readMs >= 2 * soonMs && (pace.bytes >= minRatedBytes || pace.readMs >= stallTimeoutMs / 2)
  return rated && rate * siblingFactor < siblingRate ? 'late' : 'fine'
}
