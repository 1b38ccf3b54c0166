import type { Digest } from '../core/digest.ts'
import type { Candidate, RegistryControl } from '../core/lookup.ts'
import { type TransferAction, TransferPlan, type WantedBytes, wholeBody } from '../selection/transfer-plan.ts'
import { BodyCheck } from './body-check.ts'
import { type AnswerHead, rangeHeader, readAnswerHead } from './peer-answer.ts'
import { discardBody, readBody } from './peer-body.ts'
import type { PeerClient } from './peer-client.ts'
import { TransferAttempt } from './transfer-attempt.ts'

/** Where the bytes go. `begin` comes once, when the first bytes are in hand, or never. */
export interface BodySink {
  begin(body: { readonly sizeBytes: number; readonly start: number; readonly end: number }): void
  /** False where no more should come until `drained` resolves. */
  write(chunk: Uint8Array): boolean
  drained(): Promise<void>
}

export interface TransferJob {
  readonly digest: Digest
  /** Path and query to ask a peer for. */
  readonly path: string
  readonly wanted: WantedBytes
  readonly candidates: readonly Candidate[]
  /** Larger bodies are refused. */
  readonly maxSizeBytes: number
  /** Where the client already has bytes before `wanted`: the size that the body must have; `begin` is not called. */
  readonly begunSizeBytes: number | undefined
  readonly signal: AbortSignal
}

export interface TransferDeps {
  readonly peers: Pick<PeerClient, 'open'>
  readonly control: RegistryControl
  readonly limits: { readonly stallTimeoutMs: number; readonly openBudgetMs: number }
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export interface TransferResult {
  /** `ended-early`: the client has a part, and nobody is left who could go on. */
  readonly outcome: 'finished' | 'ended-early' | 'not-found' | 'unsatisfiable' | 'cancelled'
  readonly sizeBytes: number | undefined
  /** The digest of the whole was checked. */
  readonly verified: boolean
  readonly attempts: readonly TransferAttempt[]
}

/**
 * Gets one body from candidates, one after the other, into a sink (DESIGN §6): the plan decides, this moves the bytes.
 * Settles with an outcome, never with an error.
 */
export async function runTransfer(
  job: TransferJob,
  sink: BodySink,
  deps: TransferDeps,
): Promise<TransferResult> {
  const { signal } = job
  const plan = new TransferPlan(job.candidates, job.wanted)
  const attempts: TransferAttempt[] = []
  const deadline = deps.now() + deps.limits.openBudgetMs
  let begun = job.begunSizeBytes !== undefined
  let check: BodyCheck | undefined
  if (begun) plan.step({ type: 'committed' })

  const result = (outcome: TransferResult['outcome'], sizeBytes = plan.body?.sizeBytes): TransferResult => ({
    outcome,
    sizeBytes,
    verified: outcome === 'finished' && check?.checks === true,
    attempts,
  })

  function forward(chunk: Uint8Array): boolean {
    begin()
    return sink.write(chunk)
  }

  function begin(): void {
    if (begun || plan.body === undefined) return
    begun = true
    plan.step({ type: 'committed' })
    sink.begin(plan.body)
  }

  /** One request to one peer, to its end; returns what to do next. */
  async function ask(candidate: Candidate, wanted: WantedBytes): Promise<TransferAction> {
    const attempt = new TransferAttempt(candidate.peer, deps)
    attempts.push(attempt)
    const range = rangeHeader(narrow(wanted, job.begunSizeBytes))
    const answer = await deps.peers.open({
      peer: candidate.peer,
      method: 'GET',
      path: job.path,
      range,
      signal,
    })
    if (!answer.ok) {
      attempt.end(answer.outcome, answer.reason)
      return plan.step({ type: 'failed' })
    }
    const { message } = answer
    const head = checkedHead(
      readAnswerHead(message.statusCode, message.headers, {
        ranged: range !== undefined,
        digest: job.digest,
      }),
      job,
    )
    if (head.type !== 'body') {
      attempt.end(
        head.type === 'refused' ? 'refused' : 'complete',
        head.type === 'refused' ? head.reason : '',
        message.statusCode,
      )
      discardBody(message)
      return plan.step(head.type === 'refused' ? { type: 'failed' } : head)
    }
    const opened = plan.step({ ...head, type: 'opened' })
    if (opened.type !== 'receive') {
      attempt.end('refused', 'answered with other bytes than were asked for')
      message.destroy()
      return opened
    }
    const checking = check ?? new BodyCheck(job.digest, plan.body ?? head)
    check = checking
    const end = await readBody(message, {
      stallTimeoutMs: deps.limits.stallTimeoutMs,
      signal,
      drained: () => sink.drained(),
      onChunk(chunk) {
        attempt.received(chunk.length)
        const step = plan.step({ type: 'received', bytes: chunk.length })
        const free = checking.pass(
          step.type === 'receive' ? chunk.subarray(0, step.take) : chunk.subarray(0, 0),
        )
        return free === undefined || forward(free)
      },
    })
    if (end !== 'ended') {
      attempt.end(
        end,
        end === 'stalled' ? `no byte for ${deps.limits.stallTimeoutMs} ms` : 'the body broke off',
      )
      return plan.step({ type: 'failed' })
    }
    const next = plan.step({ type: 'ended' })
    if (next.type !== 'finish') {
      const reached = next.type === 'request' && candidate.reach !== 'complete'
      attempt.end(reached ? 'complete' : 'broken', reached ? '' : 'the body was too short')
      return next
    }
    const held = checking.finish()
    if (held === undefined) {
      // Of several that gave bytes nobody knows which one was wrong.
      const sole = plan.contributors.size === 1
      attempt.end(sole ? 'wrong-bytes' : 'broken', 'the bytes do not match the digest')
      check = undefined
      return plan.step({ type: 'wrong' })
    }
    attempt.end('complete', '')
    begin()
    for (const chunk of held) if (!sink.write(chunk)) await sink.drained()
    return next
  }

  let action = plan.step({ type: 'start' })
  for (;;) {
    if (signal.aborted) return result('cancelled')
    switch (action.type) {
      case 'request': {
        if (!begun && deps.now() >= deadline) return result('not-found')
        const candidate = job.candidates[action.source] as Candidate
        action = await ask(candidate, action.wanted)
        break
      }
      case 'finish':
        return result('finished')
      case 'unsatisfiable':
        return result('unsatisfiable', action.sizeBytes)
      case 'not-found':
        return result('not-found')
      default:
        return result('ended-early')
    }
  }
}

/** A body that was begun elsewhere has a known size: an open end is written out. */
function narrow(wanted: WantedBytes, sizeBytes: number | undefined): WantedBytes {
  return sizeBytes !== undefined && wanted.kind === 'span' && wanted.end === undefined && wanted !== wholeBody
    ? { ...wanted, end: sizeBytes - 1 }
    : wanted
}

function checkedHead(head: AnswerHead, job: TransferJob): AnswerHead {
  if (head.type !== 'body') return head
  if (head.sizeBytes > job.maxSizeBytes) {
    return { type: 'refused', reason: `answered with ${head.sizeBytes} bytes, too many` }
  }
  return job.begunSizeBytes !== undefined && head.sizeBytes !== job.begunSizeBytes
    ? { type: 'refused', reason: `has ${head.sizeBytes} bytes of it, not ${job.begunSizeBytes}` }
    : head
}
