import type { MemberState } from '../../../lib/core/peer.ts'

/** A change that one node saw in another. */
export interface Sighting {
  readonly atMs: number
  readonly observer: string
  readonly member: string
  readonly from: MemberState | undefined
  readonly to: MemberState
  readonly incarnation: number
  readonly reason: string
}
