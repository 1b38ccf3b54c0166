import type { Digest } from '../core/digest.ts'
import type { Candidate } from '../core/lookup.ts'
import { readAnswerHead } from './peer-answer.ts'
import { discardBody } from './peer-body.ts'
import type { TransferDeps } from './transfer.ts'
import { TransferAttempt } from './transfer-attempt.ts'

export interface SizeQuestion {
  readonly digest: Digest
  readonly path: string
  readonly candidates: readonly Candidate[]
  readonly signal: AbortSignal
}

/** Asks candidates in turn for the size of a blob, by HEAD. Undefined where none says it. */
export async function askPeersForSize(
  question: SizeQuestion,
  deps: TransferDeps,
): Promise<{ sizeBytes: number | undefined; attempts: readonly TransferAttempt[] }> {
  const { digest, path, signal } = question
  const attempts: TransferAttempt[] = []
  const deadline = deps.now() + deps.limits.openBudgetMs
  for (const { peer, reach } of question.candidates) {
    if (reach !== 'complete') continue
    if (signal.aborted || deps.now() >= deadline) break
    const attempt = new TransferAttempt(peer, deps)
    attempts.push(attempt)
    const answer = await deps.peers.open({ peer, method: 'HEAD', path, range: undefined, signal })
    if (!answer.ok) {
      attempt.end(answer.outcome, answer.reason)
      continue
    }
    const { statusCode, headers } = answer.message
    const head = readAnswerHead(statusCode, headers, { ranged: false, digest })
    discardBody(answer.message, false)
    if (head.type === 'body') {
      attempt.end('complete', '')
      return { sizeBytes: head.sizeBytes, attempts }
    }
    attempt.end('refused', head.type === 'refused' ? head.reason : 'answered 416', statusCode)
  }
  return { sizeBytes: undefined, attempts }
}
