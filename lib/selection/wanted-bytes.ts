/** What a client wants of a body whose size may not be known yet: bytes from `start` to `end` included, or the last ones. */
export type WantedBytes =
  | { readonly kind: 'span'; readonly start: number; readonly end: number | undefined }
  | { readonly kind: 'suffix'; readonly length: number }

/**
 * All of a body, without a range; told from others by identity, for `bytes=0-` is a range: its answer is 206, and 416 where
 * the body has no byte (RFC 9110 §14.1.2).
 */
export const wholeBody: WantedBytes = { kind: 'span', start: 0, end: undefined }

/** Bytes `start` to `end`, both included, of a body of `sizeBytes`. */
export interface BodySpan {
  readonly sizeBytes: number
  readonly start: number
  readonly end: number
}

/** The bytes that are wanted of a body of known size; undefined where it has none of them. */
export function resolveWanted(wanted: WantedBytes, sizeBytes: number): BodySpan | undefined {
  if (wanted.kind === 'suffix') {
    if (sizeBytes === 0 || wanted.length === 0) return undefined
    return { sizeBytes, start: Math.max(0, sizeBytes - wanted.length), end: sizeBytes - 1 }
  }
  if (wanted === wholeBody) return { sizeBytes, start: 0, end: sizeBytes - 1 }
  if (wanted.start >= sizeBytes) return undefined
  return { sizeBytes, start: wanted.start, end: Math.min(wanted.end ?? sizeBytes - 1, sizeBytes - 1) }
}
