import type { Digest } from '../core/digest.ts'
import type { WantedBytes } from '../selection/wanted-bytes.ts'
import { wholeBody } from '../selection/wanted-bytes.ts'

/** The entity tag of content: its digest, which is a strong validator (RFC 9110 §8.8.3). */
export function etagOf(digest: Digest): string {
  return `"${digest}"`
}

/** Does `If-None-Match` name this content (RFC 9110 §13.1.2, weak comparison)? */
export function isUnchanged(ifNoneMatch: string | undefined, digest: Digest): boolean {
  if (ifNoneMatch === undefined) return false
  if (ifNoneMatch.trim() === '*') return true
  return ifNoneMatch.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etagOf(digest))
}

/** The `Range` header, unless `If-Range` says that it holds for other content only (RFC 9110 §13.1.5). */
export function applicableRange(
  range: string | undefined,
  ifRange: string | undefined,
  digest: Digest,
): string | undefined {
  return ifRange === undefined || ifRange === etagOf(digest) ? range : undefined
}

/**
 * What a `Range` header asks of a body whose size is not known yet; read as `parseRangeHeader` of the core reads it.
 * `unsatisfiable` where no body has such bytes.
 */
export function wantedBytes(header: string | undefined): WantedBytes | 'unsatisfiable' {
  const match = /^bytes=\s*(\d{0,15})-(\d{0,15})\s*$/i.exec(header ?? '')
  const [, first = '', last = ''] = match ?? []
  if (match === null || (first === '' && last === '')) return wholeBody
  if (first === '') return Number(last) === 0 ? 'unsatisfiable' : { kind: 'suffix', length: Number(last) }
  if (last !== '' && Number(last) < Number(first)) return wholeBody
  return { kind: 'span', start: Number(first), end: last === '' ? undefined : Number(last) }
}
