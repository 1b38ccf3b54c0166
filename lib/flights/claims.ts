import type { PeerId } from '../core/peer-id.ts'
import type { FlightKey } from './flight-key.ts'
import type { FlightMessage } from './messages.ts'

/** A steward, and what its answer may take. */
export interface StewardChoice {
  readonly peerId: PeerId
  readonly budgetMs: number
}

/** A claim that waits for a steward's answer. */
export interface PendingClaim {
  readonly id: number
  readonly key: FlightKey
  readonly message: Extract<FlightMessage, { type: 'claim' }>
  /** The requests that wait for it. */
  readonly requests: number[]
  readonly stewards: readonly StewardChoice[]
  /** Which of the stewards has been asked last. */
  asked: number
  deadlineMs: number
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

  due(nowMs: number): PendingClaim[] {
    return [...this.#claims.values()].filter(({ deadlineMs }) => deadlineMs <= nowMs)
  }

  get nextDueMs(): number {
    let at = Number.POSITIVE_INFINITY
    for (const { deadlineMs } of this.#claims.values()) at = Math.min(at, deadlineMs)
    return at
  }
}
