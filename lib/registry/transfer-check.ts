import type { Digest } from '../core/digest.ts'
import type { Candidate } from '../core/lookup.ts'
import { BodyCheck } from './body-check.ts'

/** The bytes of a transfer: `start` to `end`, both included, of a blob of `sizeBytes`. */
export interface CheckedBody {
  readonly sizeBytes: number
  readonly start: number
  readonly end: number
}

export interface CheckJob {
  readonly digest: Digest
  /** Path and query under which a holder is asked for the blob. */
  readonly path: string
  readonly body: CheckedBody
  readonly candidates: readonly Candidate[]
  /** Aborted when the transfer is over. */
  readonly signal: AbortSignal
}

/** One piece of a blob as a peer gave it: what it is worth is known as soon as the right map is. */
export interface GivenPiece {
  readonly index: number
  readonly sha256: Uint8Array
}

/** `proven`: the bytes are wrong by their digest. Else only by the word of others, and `piece` is what was given. */
export interface WrongFrom {
  readonly wrongFrom: number | 'unknown'
  readonly reason: string
  readonly proven: boolean
  readonly piece?: GivenPiece | undefined
}

/**
 * What a check makes of bytes: those that may go out now, in order, and are to be written or copied before the next ones go in; or that what came is wrong from an offset of the blob on.
 * No byte at or after `wrongFrom` has been let out, and the check takes the bytes from there anew. `unknown`: wrong bytes are
 * among those that were let out already, so that the body can only end.
 */
export type CheckOutcome = { readonly free: readonly Uint8Array[] } | WrongFrom

/**
 * Stands between the bytes of a transfer and the client: bytes go in in order, from whichever holders; checked bytes come out.
 * What it holds may be kept by reference: the chunks are not changed afterwards.
 */
export interface TransferCheck {
  /** True where a finished body is known to be right. */
  readonly checks: boolean
  /** Set where nobody can be believed: the transfer ends, and nobody is blamed for it. */
  readonly refusal?: string
  pass(chunk: Uint8Array): CheckOutcome
  /** After the last byte. */
  finish(): CheckOutcome
}

/** Begins a check, perhaps by asking holders for what it needs; the transfer forwards nothing until it resolves. Never rejects. */
export type StartCheck = (job: CheckJob) => TransferCheck | Promise<TransferCheck>

const nothing: CheckOutcome = { free: [] }

/** For who trusts every node. */
export function startNoCheck(): TransferCheck {
  return { checks: false, pass: (chunk) => ({ free: [chunk] }), finish: () => nothing }
}

/** By the digest of the whole alone: what was let out before the digest is known can't be taken back. */
export function startDigestCheck(job: Pick<CheckJob, 'digest' | 'body'>): TransferCheck {
  const { digest, body } = job
  let check = new BodyCheck(digest, body)
  let letOut = false
  return {
    checks: check.checks,
    pass(chunk) {
      const free = check.pass(chunk)
      if (free === undefined || free.length === 0) return nothing
      letOut = true
      return { free: [free] }
    },
    finish() {
      const free = check.finish()
      if (free !== undefined) return { free }
      check = new BodyCheck(digest, body)
      return {
        wrongFrom: letOut ? 'unknown' : body.start,
        reason: 'the bytes do not match the digest',
        proven: true,
      }
    },
  }
}
