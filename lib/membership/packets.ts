import { maxDatagramBodySizeBytes } from '../core/messaging.ts'
import type { Endpoint } from '../core/peer.ts'
import type { PeerId } from '../core/peer-id.ts'
import type { ClaimBook } from './claim-book.ts'
import type { MachineContext } from './context.ts'
import { type Claim, encodeMessage, maxClaimSizeBytes, maxHeadSizeBytes } from './messages.ts'
import { type RumourQueue, retransmitBudget } from './rumours.ts'
import { stateCode } from './states.ts'

/** Composes messages and fills them with rumours; a suspect is told first (Lifeguard §3.3, "buddy system"). */
export class Packets {
  readonly #context: MachineContext
  readonly #rumours: RumourQueue
  readonly #claims: ClaimBook

  constructor(context: MachineContext, rumours: RumourQueue, claims: ClaimBook) {
    this.#context = context
    this.#rumours = rumours
    this.#claims = claims
  }

  /** `member` is who will read it, where that is a member. */
  compose(type: number, sequence: number, member: number | undefined, target?: string): Uint8Array {
    const { table, self, own, settings } = this.#context
    const claims: Claim[] = []
    let roomBytes = maxDatagramBodySizeBytes - maxHeadSizeBytes
    const add = (one: number): boolean => {
      const claim = this.#claims.claimOf(one)
      roomBytes -= maxClaimSizeBytes(claim)
      if (roomBytes < 0 || claims.length >= settings.maxRumoursPerPacket) return false
      claims.push(claim)
      return true
    }
    const isDoubted = member !== undefined && table.stateOf(member) > stateCode.alive
    const first: number[] = []
    if (isDoubted) first.push(member)
    if (this.#context.leaving) first.push(self)
    for (const one of first) add(one)
    this.#rumours.take((one) => first.includes(one) || add(one), retransmitBudget(table.live))
    return encodeMessage({
      type,
      sequence,
      incarnation: table.incarnation[self]!,
      hash: own.hash,
      clockMs: this.#context.clockMs,
      claims,
      ...(target === undefined ? {} : { target }),
    })
  }

  send(to: PeerId, endpoint: Endpoint | undefined, body: Uint8Array): void {
    this.#context.emit({ type: 'send', to, endpoint, body })
  }

  /** A message to a member at the `attempt`-th of its addresses. */
  sendTo(
    member: number,
    type: number,
    sequence: number,
    options: { target?: string; attempt?: number } = {},
  ): void {
    const endpoints = this.endpointsOf(member)
    const endpoint = endpoints[(options.attempt ?? 0) % endpoints.length]
    const body = this.compose(type, sequence, member, options.target)
    this.send(this.#context.directory.peerIdAt(member), endpoint, body)
  }

  /** Those of a family that this node has as well come first. */
  endpointsOf(member: number): readonly Endpoint[] {
    const { p2p } = this.#context.recordOf(member).record
    if (p2p.length === 1) return p2p
    const own = new Set(this.#context.own.record.p2p.map((endpoint) => endpoint.host.includes(':')))
    const isUsable = (endpoint: Endpoint) => own.has(endpoint.host.includes(':'))
    return [...p2p.filter(isUsable), ...p2p.filter((endpoint) => !isUsable(endpoint))]
  }
}
