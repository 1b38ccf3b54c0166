import type { LookupMiss } from '../core/lookup.ts'

/** Error codes of the OCI distribution specification ("Error Codes") that a read-only mirror can give, and our own few. */
export type OciErrorCode =
  | 'BLOB_UNKNOWN'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_UNKNOWN'
  | 'NAME_INVALID'
  | 'DIGEST_INVALID'
  | 'DENIED'
  | 'UNSUPPORTED'
  | 'PAGINATION_NUMBER_INVALID'
  | 'RANGE_INVALID'
  | 'UNAVAILABLE'
  | 'TOOMANYREQUESTS'

/** An answer that is an error: `message` is what a user of containerd reads. */
export interface OciFailure {
  readonly status: number
  readonly code: OciErrorCode
  readonly message: string
  readonly detail?: Readonly<Record<string, unknown>>
  readonly headers?: Readonly<Record<string, string>>
}

/** What was asked for, as far as a miss depends on it. */
export type MissSubject = 'manifest' | 'blob' | 'list'

const missAnswers: Record<LookupMiss, { status: number; code: OciErrorCode | 'unknown'; sentence: string }> =
  {
    'no-registry': {
      status: 400,
      code: 'NAME_UNKNOWN',
      sentence: 'the request names no registry (ns=…) and no mirrored registry knows the repository',
    },
    'ambiguous-registry': {
      status: 400,
      code: 'NAME_UNKNOWN',
      sentence: 'the request names no registry (ns=…) and several mirrored registries know the repository',
    },
    'not-mirrored': { status: 404, code: 'NAME_UNKNOWN', sentence: 'this node does not mirror the registry' },
    excluded: { status: 404, code: 'unknown', sentence: 'the reference is excluded from sharing' },
    'unknown-tag': { status: 404, code: 'unknown', sentence: 'no live node of the cluster has the tag' },
    'tag-disputed': {
      status: 404,
      code: 'unknown',
      sentence: 'live nodes disagree on the digest of the tag, so upstream decides',
    },
    'no-holder': { status: 404, code: 'unknown', sentence: 'no live node of the cluster holds the digest' },
    'not-local': { status: 404, code: 'unknown', sentence: 'this node does not hold the digest' },
  }

/** The answer to a lookup that found nothing; `sentence` of the control plane, where there is one, goes to the user. */
export function missFailure(
  miss: LookupMiss,
  sentence: string,
  subject: MissSubject,
  registry: string | undefined,
): OciFailure {
  const answer = missAnswers[miss]
  const unknown =
    subject === 'manifest' ? 'MANIFEST_UNKNOWN' : subject === 'blob' ? 'BLOB_UNKNOWN' : 'NAME_UNKNOWN'
  return {
    status: answer.status,
    code: answer.code === 'unknown' ? unknown : answer.code,
    message: sentence === '' ? answer.sentence : sentence,
    detail: { reason: miss, ...(registry === undefined ? {} : { registry }) },
  }
}

/** The JSON body of an error (OCI distribution specification, "Error Codes"). */
export function errorBody(failure: OciFailure): string {
  const { code, message, detail } = failure
  return JSON.stringify({ errors: [{ code, message: `starling: ${message}`, detail: detail ?? null }] })
}

/** The message as a header value, for answers to HEAD, which have no body: printable ASCII, at most 500 characters. */
export function reasonHeader(message: string): string {
  return message.replace(/[^\x20-\x7e]/g, '?').slice(0, 500)
}
