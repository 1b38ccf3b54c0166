/** One number that several threads may read and change. */
export interface RateCell {
  read(): number
  /** False where it is not `before` any more. */
  replace(before: number, after: number): boolean
}

/** So much may go at once before the rate is enforced, in milliseconds of it. */
const burstMs = 100

export function localCell(): RateCell {
  let value = 0
  return {
    read: () => value,
    replace(before, after) {
      if (before !== value) return false
      value = after
      return true
    },
  }
}

/**
 * A token bucket with a single number for its state, the time at which all that was taken will be paid for, so that threads can
 * share it without a lock (ITU-T I.371, generic cell rate algorithm as virtual scheduling). Bytes are charged when they are asked for.
 *
 * @param nowMs on a clock that all who share the cell have in common
 * @returns milliseconds until these bytes may go
 */
export function chargeBytes(cell: RateCell, bytes: number, bytesPerSecond: number, nowMs: number): number {
  if (bytesPerSecond === Number.POSITIVE_INFINITY) return 0
  for (;;) {
    const paidAtMs = cell.read()
    const after = Math.max(paidAtMs, nowMs) + (bytes * 1000) / bytesPerSecond
    if (cell.replace(paidAtMs, after)) return Math.max(0, paidAtMs - burstMs - nowMs)
  }
}
