import { type ByteRange, contentRange, rangeLength } from '../core/byte-range.ts'
import type { Digest } from '../core/digest.ts'
import { mediaTypes } from '../core/media-types.ts'
import { brokenOff, type Exchange } from './exchange.ts'

export const acceptRanges = { 'accept-ranges': 'bytes' } as const

/** The head of an answer that is a blob, or with `partial` a range of it. */
export function beginBody(
  exchange: Exchange,
  digest: Digest,
  sizeBytes: number,
  range: ByteRange,
  partial: boolean,
): void {
  exchange.contentHead(digest, mediaTypes.octetStream, rangeLength(range), {
    ...acceptRanges,
    ...(partial ? { 'content-range': contentRange(range, sizeBytes) } : {}),
  })
}

/** Ends the body, and says why where it is too short. */
export function finishBody(exchange: Exchange): void {
  if (exchange.out.incomplete) {
    const { signal } = exchange.out
    const why = signal.aborted ? brokenOff(signal) : 'nobody is left who has the rest'
    exchange.reason = `${exchange.reason}; ended early: ${why}`
  }
  exchange.out.finish()
}

/** 416, with the size where it is known. */
export function unsatisfiable(exchange: Exchange, sizeBytes: number | undefined): void {
  exchange.fail({
    status: 416,
    code: 'RANGE_INVALID',
    message: `the blob${sizeBytes === undefined ? '' : ` of ${sizeBytes} bytes`} has no such range`,
    headers: sizeBytes === undefined ? {} : { 'content-range': contentRange(undefined, sizeBytes) },
  })
}
