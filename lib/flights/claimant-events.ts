import type { PeerId } from '../core/peer-id.ts'
import type { StewardChoice } from './claims.ts'
import type { FlightKey } from './flight-key.ts'
import type { FlightMessage, Progress, Role } from './messages.ts'
import type { RoleEnd } from './roles.ts'

export interface Want extends FlightKey {
  /** Names the request in the verdict. */
  readonly request: number
  /** The download in the local store; undefined where there is none, so that this node can only follow. */
  readonly seen: Progress | undefined
  readonly slots: number
  readonly lost: readonly PeerId[]
  readonly holders: readonly PeerId[]
  readonly stewards: readonly StewardChoice[]
}

export type ClaimantEvent =
  | ({ readonly type: 'want' } & Want)
  | { readonly type: 'message'; readonly from: PeerId; readonly message: FlightMessage }
  /** What the local store shows of a download: undefined where it shows none, `wrong` where its digest was found to be another. */
  | { readonly type: 'seen'; readonly key: FlightKey; readonly progress: Progress | undefined }
  /** The blob is an ordinary holding from now on. */
  | { readonly type: 'held'; readonly key: FlightKey }
  /** A peer asks for what this node is downloading. */
  | { readonly type: 'followed' }
  /** What came from the parent are not the bytes of the digest. */
  | { readonly type: 'wrong'; readonly key: FlightKey }
  | { readonly type: 'wake' }

export type ClaimantEffect =
  | { readonly type: 'send'; readonly to: PeerId; readonly message: FlightMessage }
  | {
      readonly type: 'verdict'
      readonly request: number
      readonly key: FlightKey
      readonly verdict: Role | 'upstream'
      readonly parent: PeerId | undefined
    }
  /** Look at the download in the local store. */
  | { readonly type: 'look'; readonly key: FlightKey }
  | { readonly type: 'ended'; readonly key: FlightKey; readonly role: Role; readonly why: RoleEnd }

/** What a claimant reads of the node around it. */
export interface ClaimantView {
  /** The steward of a key as the members are now. */
  stewardOf(key: FlightKey): PeerId | undefined
  /** Does the store of this node have it whole? */
  isHeld(key: FlightKey): boolean
}
