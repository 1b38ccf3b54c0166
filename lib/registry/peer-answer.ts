import type { IncomingHttpHeaders } from 'node:http'
import type { Digest } from '../core/digest.ts'
import { type WantedBytes, wholeBody } from '../selection/wanted-bytes.ts'

/** What the head of a peer's answer promises. */
export type AnswerHead =
  | { readonly type: 'body'; readonly sizeBytes: number; readonly start: number; readonly end: number }
  | { readonly type: 'unsatisfiable'; readonly sizeBytes: number }
  | { readonly type: 'refused'; readonly reason: string }

/** The `Range` header that asks for these bytes (RFC 9110 §14.2); undefined for the whole body. */
export function rangeHeader(wanted: WantedBytes): string | undefined {
  if (wanted === wholeBody) return undefined
  if (wanted.kind === 'suffix') return `bytes=-${wanted.length}`
  return `bytes=${wanted.start}-${wanted.end ?? ''}`
}

/**
 * Holds the head of an answer against what was asked: status, lengths and digest must agree, or the peer counts as one that
 * refused. Whether the range is the one that was asked for is the plan's to judge.
 */
export function readAnswerHead(
  status: number | undefined,
  headers: IncomingHttpHeaders,
  asked: { readonly ranged: boolean; readonly digest: Digest },
): AnswerHead {
  const refused = (reason: string): AnswerHead => ({ type: 'refused', reason })
  if (status === 416 && asked.ranged) {
    const size = /^bytes \*\/(\d{1,15})$/.exec(headers['content-range'] ?? '')?.[1]
    return size === undefined
      ? refused('answered 416 without a size')
      : { type: 'unsatisfiable', sizeBytes: Number(size) }
  }
  if (status !== 200 && status !== 206) return refused(`answered ${status}`)
  if (status !== (asked.ranged ? 206 : 200)) return refused(`answered ${status} to another kind of request`)
  if (headers['content-encoding'] !== undefined) return refused('answered with a content encoding')
  const digest = headers['docker-content-digest']
  if (digest !== asked.digest) return refused(`answered with the digest ${String(digest).slice(0, 80)}`)
  const lengthText = headers['content-length'] ?? ''
  if (!/^\d{1,15}$/.test(lengthText)) return refused('answered without a length')
  const length = Number(lengthText)
  if (status === 200) return { type: 'body', sizeBytes: length, start: 0, end: length - 1 }
  const range = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(headers['content-range'] ?? '')
  if (range === null) return refused('answered 206 without a range')
  const [start, end, sizeBytes] = [Number(range[1]), Number(range[2]), Number(range[3])]
  if (end < start || end >= sizeBytes || length !== end - start + 1) {
    return refused('answered with a range and a length that do not agree')
  }
  return { type: 'body', sizeBytes, start, end }
}
