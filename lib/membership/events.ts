import type { PeerHint } from '../core/cluster.ts'
import type { Endpoint, MemberState } from '../core/peer.ts'
import type { PeerId } from '../core/peer-id.ts'
import type { Claim } from './messages.ts'
import type { SignedRecord } from './record.ts'

export type TimerKind = 'round' | 'ping' | 'probe' | 'relay' | 'gossip' | 'suspicion' | 'meeting' | 'leave'

/** Data to be handed back at `atMs`. Never cancelled: the token tells the machine whether it still counts. */
export interface Timer {
  readonly kind: TimerKind
  readonly token: number
  /** Monotonic milliseconds. */
  readonly atMs: number
}

/**
 * What the direct TCP probe met: `answered` by the process, `accepted` by its kernel, `refused` by its host, `silent`
 * where nothing came back. After `accepted` an `answered` may still follow.
 */
export type TcpProbeResult = 'answered' | 'accepted' | 'refused' | 'silent'

export type MembershipEvent =
  | { readonly type: 'start' }
  | { readonly type: 'timer'; readonly timer: Timer }
  /** A datagram, or what came in its place over TCP. The sender is attested. */
  | {
      readonly type: 'message'
      readonly from: PeerId
      readonly body: Uint8Array
      readonly replyTo: Endpoint | undefined
    }
  | { readonly type: 'tcp-result'; readonly token: number; readonly result: TcpProbeResult }
  /** What another node answered to "what do you know?", or pushed. */
  | { readonly type: 'claims'; readonly from: PeerId; readonly claims: readonly Claim[] }
  /** A record that was fetched, verified and whose node is attested. */
  | { readonly type: 'record'; readonly signed: SignedRecord }
  /** This node's own record has changed. */
  | { readonly type: 'own-record'; readonly signed: SignedRecord }
  | { readonly type: 'hint'; readonly peerId: PeerId; readonly hint: PeerHint }
  /** May datagrams be used? Without, probes begin as TCP probes. */
  | { readonly type: 'transport'; readonly datagrams: boolean }
  /** The peers with an open connection: without datagrams rumours go to nobody else, since they are not worth a dial. */
  | { readonly type: 'neighbours'; readonly peers: readonly PeerId[] }
  /** The machine was asleep: its clocks have leapt. */
  | { readonly type: 'slept' }
  | { readonly type: 'leave' }
  /** A node that must not be let in any more: nothing that is said of it counts from now on. */
  | { readonly type: 'expel'; readonly peerId: PeerId }

/** Things worth a counter; the closed set of the label `event` of `starling_membership_events_total`. */
export type Observation =
  | 'malformed'
  | 'unknown-type'
  | 'misdelivered'
  | 'incarnation-refused'
  | 'expelled'
  | 'wants-full'
  | 'members-full'
  | 'probe-failed'
  | 'probe-tcp-only'
  | 'probe-dropped'
  | 'relay-dropped'
  | 'refuted'
  | 'slept'
  | 'starved'
  | 'stale-timer'
  | 'suspected'
  | 'confirmed'

export type Effect =
  | {
      readonly type: 'send'
      readonly to: PeerId
      readonly endpoint: Endpoint | undefined
      readonly body: Uint8Array
    }
  /** Connects to the endpoints and passes `body` on as a probe; `tcp-result` says how it went, then the answer comes as a `message`. */
  | {
      readonly type: 'tcp-probe'
      readonly to: PeerId
      readonly endpoints: readonly Endpoint[]
      readonly body: Uint8Array
      readonly token: number
      /** For the kernel to accept. */
      readonly timeoutMs: number
      /** For the process to answer, from the beginning as well. */
      readonly answerTimeoutMs: number
    }
  | { readonly type: 'schedule'; readonly timer: Timer }
  /** The record with this hash is wanted; `teller` has it. */
  | { readonly type: 'fetch'; readonly teller: PeerId; readonly shortId: string; readonly hash: string }
  /** `isExact`: it must be this one; otherwise any live member does as well. */
  | { readonly type: 'push-pull'; readonly with: PeerId; readonly isExact: boolean }
  /** A member is new (`from` undefined), has another state, or another record (`from` equals `to`). */
  | {
      readonly type: 'changed'
      readonly peerId: PeerId
      readonly from: MemberState | undefined
      readonly to: MemberState
      readonly incarnation: number
      readonly reason: string
    }
  | { readonly type: 'forgotten'; readonly peerId: PeerId }
  | { readonly type: 'name-conflict'; readonly name: string; readonly peerIds: readonly PeerId[] }
  /** Others hold a record of this node that is not older than its own: sign one with a greater sequence. */
  | { readonly type: 'own-record-outdated'; readonly sequence: number }
  /** This node's incarnation has grown; it must survive a restart. */
  | { readonly type: 'incarnation'; readonly incarnation: number }
  | { readonly type: 'observed'; readonly what: Observation }
  | { readonly type: 'left' }
