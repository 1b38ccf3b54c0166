import type { PeerId } from '../core/peer-id.ts'
import type { FlightKey } from './flight-key.ts'
import type { FlightMessage } from './messages.ts'

/** A steward, and what its answer may take at least, by its distance. */
export interface StewardChoice {
  readonly peerId: PeerId
  readonly budgetMs: number
  /** It may be dead: it is asked, and only another one is waited for. */
  readonly doubtful?: boolean
  /** It is this node: its answers say nothing of the others' times. */
  readonly self?: boolean
}

/** A claim that waits for a steward's answer. */
export interface PendingClaim {
  readonly id: number
  readonly key: FlightKey
  readonly message: Extract<FlightMessage, { type: 'claim' }>
  /** The requests that wait for it. */
  readonly requests: number[]
  readonly stewards: readonly StewardChoice[]
  readonly askedMs: number
  /** Which of the stewards has been asked last. */
  asked: number
  deadlineMs: number
  /** The first choice was passed over for being slow: until then its answer is still the better one. */
  firstUntilMs?: number
  /** What another steward said meanwhile. */
  held?: { readonly from: PeerId; readonly message: Extract<FlightMessage, { type: 'verdict' }> }
  /** For which of the stewards the wait was made longer: this node was late itself. */
  lagged?: number
}

/** A timer that is later than this shows that the processor is busy, here and maybe at the steward. */
const lagMs = 5
const maxGraceMs = 100

/**
 * Is it too early to give a steward up? Whoever wakes late may have the answer waiting already. True at most once for each, and the
 * wait gets as much longer as this node was late.
 */
function waitsOn(claim: PendingClaim, nowMs: number): boolean {
  const lateMs = nowMs - claim.deadlineMs
  if (lateMs < lagMs || claim.lagged === claim.asked) return false
  claim.lagged = claim.asked
  claim.deadlineMs = nowMs + Math.min(lateMs, maxGraceMs)
  return true
}

/** Claims by their id; a late answer finds its claim for a while after the request went upstream. */
export class ClaimBook {
  readonly #claims = new Map<number, PendingClaim>()

  get size(): number {
    return this.#claims.size
  }

  add(claim: PendingClaim): void {
    this.#claims.set(claim.id, claim)
  }

  take(id: number): PendingClaim | undefined {
    const claim = this.#claims.get(id)
    this.#claims.delete(id)
    return claim
  }

  find(matches: (claim: PendingClaim) => boolean): PendingClaim | undefined {
    for (const claim of this.#claims.values()) if (matches(claim)) return claim
    return undefined
  }

  /** Those that have asked their last steward wait until then, if that is later. */
  lengthen(untilMs: (claim: PendingClaim) => number): void {
    for (const claim of this.#claims.values()) {
      const isLast = claim.asked === claim.stewards.length - 1 && claim.held === undefined
      if (isLast) claim.deadlineMs = Math.max(claim.deadlineMs, untilMs(claim))
    }
  }

  due(nowMs: number): PendingClaim[] {
    return [...this.#claims.values()].filter(({ deadlineMs }) => deadlineMs <= nowMs)
  }

  /** Those whose steward is given up. */
  givenUp(nowMs: number): PendingClaim[] {
    return this.due(nowMs).filter((claim) => !waitsOn(claim, nowMs))
  }

  get nextDueMs(): number {
    let at = Number.POSITIVE_INFINITY
    for (const { deadlineMs } of this.#claims.values()) at = Math.min(at, deadlineMs)
    return at
  }
}
