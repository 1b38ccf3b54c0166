import type { TransferReport } from '../core/lookup.ts'
import { judgePace, type PaceVerdict, rateOf } from '../selection/pace.ts'
import type { PeerFetch } from './peer-fetch.ts'
import type { TransferAttempt } from './transfer-attempt.ts'

/** A request of a transfer, under way. */
export interface Running {
  readonly fetch: PeerFetch
  readonly attempt: TransferAttempt
  /** Index of its candidate. */
  readonly source: number
}

/** The requests that are late or stalled; `bestRate` of those that are over, in bytes per millisecond. */
export function findLaggards(
  running: ReadonlyMap<number, Running>,
  bestRate: number,
  stallTimeoutMs: number,
): { readonly id: number; readonly verdict: Exclude<PaceVerdict, 'fine'> }[] {
  return [...running].flatMap(([id, { fetch, source }]) => {
    if (fetch.paused) return []
    const others = [...running.values()].filter((other) => other.source !== source)
    const siblingRate = Math.max(bestRate, ...others.map((other) => rateOf(other.fetch.pace)))
    const verdict = judgePace(fetch.pace, { stallTimeoutMs, siblingRate })
    return verdict === 'fine' ? [] : [{ id, verdict }]
  })
}

/** What is reported of a request whose bytes another one brought first: it was silent, or only slower. */
export function overtakenReport(
  fetch: PeerFetch,
  stallTimeoutMs: number,
): { readonly outcome: TransferReport['outcome']; readonly reason: string } {
  const { quietMs } = fetch.pace
  return quietMs >= stallTimeoutMs / 4
    ? { outcome: 'stalled', reason: `no byte for ${Math.round(quietMs)} ms` }
    : { outcome: 'slow', reason: 'another one was faster' }
}
