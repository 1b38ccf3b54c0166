/** Bytes of a body from `start` to `end`, both included, as in RFC 9110 §14. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/**
 * What a `Range` header asks of a body of `sizeBytes` (RFC 9110 §14.1.2, §14.2):
 * `whole` where there is no header or one that must be ignored (another unit, several ranges, bad syntax),
 * `unsatisfiable` where the answer is 416, else the range.
 */
export function parseRangeHeader(
  header: string | undefined,
  sizeBytes: number,
): ByteRange | 'whole' | 'unsatisfiable' {
  if (header === undefined) return 'whole'
  const match = /^bytes=\s*(\d{0,16})-(\d{0,16})\s*$/i.exec(header)
  if (match === null) return 'whole'
  const [, first = '', last = ''] = match
  if (first === '' && last === '') return 'whole'
  if (first === '') {
    const suffix = Number(last)
    if (suffix === 0 || sizeBytes === 0) return 'unsatisfiable'
    return { start: Math.max(0, sizeBytes - suffix), end: sizeBytes - 1 }
  }
  const start = Number(first)
  if (last !== '' && Number(last) < start) return 'whole'
  if (start >= sizeBytes) return 'unsatisfiable'
  return { start, end: last === '' ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1) }
}

export function rangeLength(range: ByteRange): number {
  return range.end - range.start + 1
}

/** `bytes 0-9/100`; with no range the form of a 416 answer, `bytes *\/100`. */
export function contentRange(range: ByteRange | undefined, sizeBytes: number): string {
  return range === undefined ? `bytes */${sizeBytes}` : `bytes ${range.start}-${range.end}/${sizeBytes}`
}
