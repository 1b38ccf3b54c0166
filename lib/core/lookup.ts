import type { Digest } from './digest.ts'
import type { PeerId } from './peer-id.ts'

/**
 * The port between the registry (in a worker thread) and the control plane. All of it is plain, cloneable data:
 * it crosses a MessageChannel.
 */

/** A peer as the data plane needs it. */
export interface CandidatePeer {
  readonly peerId: PeerId
  readonly name: string
  /** IP addresses to try in this order. */
  readonly addresses: readonly string[]
  readonly registryPort: number
  /** SHA-256 of the SubjectPublicKeyInfo of its serving certificate, hex. */
  readonly certificateKeyHash: string
}

/** A holder in the order in which it should be asked. `reach` is how many bytes it has, or `complete`. */
export interface Candidate {
  readonly peer: CandidatePeer
  readonly reach: number | 'complete'
  /** Milliseconds since the peer was heard from, when the answer was made; absent: not known. */
  readonly heardAgoMs?: number
}

export type LookupTarget =
  | { readonly kind: 'tag'; readonly repository: string; readonly tag: string }
  | { readonly kind: 'digest'; readonly repository: string; readonly digest: Digest }

export interface LookupQuery {
  /** `ns` of the request; undefined where it had none. */
  readonly registry: string | undefined
  readonly target: LookupTarget
  /** A request that came from a peer is answered from local content only. */
  readonly fromPeer: boolean
  /** An answer of a moment ago is not good enough. */
  readonly fresh?: boolean
  /** The client wants the bytes now: what nobody has yet may be followed on its way. Not from nodes that were lost. */
  readonly claim?: { readonly lost: readonly PeerId[] }
}

/** Why a lookup found nothing; each has a sentence in the registry's error body. */
export type LookupMiss =
  | 'no-registry'
  | 'ambiguous-registry'
  | 'not-mirrored'
  | 'excluded'
  | 'unknown-tag'
  | 'tag-disputed'
  | 'no-holder'
  | 'not-local'

export type LookupAnswer =
  | {
      readonly found: true
      readonly registry: string
      readonly digest: Digest
      /** The local store has it; candidates stand in should it be gone by the time it is opened. */
      readonly local: boolean
      readonly candidates: readonly Candidate[]
      /** How many live holders there are in all, this node not counted. */
      readonly holders: number
      /**
       * `follow`: the only candidate is one that is still getting it. `serve`: this node is still getting it, and gives a peer
       * what it has.
       */
      readonly flight?: 'follow' | 'serve'
    }
  | {
      readonly found: false
      readonly registry: string | undefined
      readonly miss: LookupMiss
      /** What the user should know, in one sentence. */
      readonly detail: string
    }

export interface ListQuery {
  readonly registry: string | undefined
  /** Tags of this repository; undefined lists the repositories. */
  readonly repository: string | undefined
}

export type ListAnswer =
  | { readonly found: true; readonly registry: string; readonly names: readonly string[] }
  | {
      readonly found: false
      readonly registry: string | undefined
      readonly miss: LookupMiss
      readonly detail: string
    }

/** What this node has seen itself that shows that a peer sent wrong bytes; the word of others is no evidence. */
export interface WrongBytes {
  readonly digest: Digest
  /**
   * `digest`: a whole body came from the peer alone, and its digest is wrong. `copy`: its copy was fetched and hashed whole, and is
   * wrong. `map`, `piece`: the chunk map or the piece that it gave is not that of the right bytes.
   */
  readonly evidence: 'digest' | 'copy' | 'map' | 'piece'
}

/** How one attempt to get bytes from a peer went; selection learns from it. */
export interface TransferReport {
  readonly peerId: PeerId
  readonly outcome:
    | 'complete'
    | 'refused'
    | 'unreachable'
    | 'broken'
    | 'stalled'
    | 'wrong-bytes'
    /** Its bytes are not what they should be by the word of other holders, or it is one of several who gave wrong ones. */
    | 'disputed'
    | 'cancelled'
    /** Another holder gave the same bytes sooner. */
    | 'slow'
    /** It had no room for the request (429). */
    | 'busy'
  readonly bytes: number
  /** Milliseconds to the first byte; undefined where there was none. */
  readonly firstByteMs: number | undefined
  readonly durationMs: number
  /** HTTP status with which the peer refused; 404 means only that it has no such blob. */
  readonly status?: number
  /** Present where the outcome is `wrong-bytes`. */
  readonly wrong?: WrongBytes
}

/** Where the bytes of an answer came from; `redirect`: the client was sent to a holder. */
export type RequestSource = 'local' | 'peer' | 'memory' | 'none' | 'redirect'

/** One request to the registry API, for the log, the metrics and `starling status`. */
export interface RequestReport {
  readonly method: string
  readonly path: string
  readonly registry: string | undefined
  readonly status: number
  readonly source: RequestSource
  /** The decision and its reason in one line: "from node-2 (1 of 3 holders)". */
  readonly reason: string
  /** Names of the peers that gave bytes, in order. */
  readonly peers: readonly string[]
  readonly bytes: number
  readonly durationMs: number
  /** The body ended before its length: the client must ask again. */
  readonly incomplete: boolean
  readonly fromPeer: boolean
  /** Common name of the client's certificate. */
  readonly client: string | undefined
  /** What the client calls the request (header `Starling-Request`), and then what each peer gave. */
  readonly id?: string
  readonly shares?: readonly PeerShare[]
}

export interface PeerShare {
  /** Name of the peer. */
  readonly peer: string
  readonly bytes: number
}

/** What a transfer that follows a blob in flight tells of its parent. */
export interface FlightNote {
  readonly registry: string
  readonly digest: Digest
  readonly parent: PeerId
  /** `running`: is it alive still? `ended`: this many bytes came from it. `wrong`: not the bytes of the digest. */
  readonly what: 'running' | 'ended' | 'wrong'
  readonly bytes: number
}

/** What the registry asks of the control plane and tells it. */
export interface RegistryControl {
  lookup(query: LookupQuery): Promise<LookupAnswer>
  list(query: ListQuery): Promise<ListAnswer>
  /** `lost`: nothing more is to be expected of this parent. */
  flight?(note: FlightNote): Promise<'alive' | 'lost'>
  /** An attempt begins; exactly one `transferred` of the same peer follows. */
  transferStarted?(peerId: PeerId): void
  transferred(report: TransferReport): void
  requested(report: RequestReport): void
  /** A blob that should be here could not be opened: the store must be audited. */
  missing(digest: Digest): void
  /** The bytes of a blob of this node are not those of its digest: it must not be offered. */
  damaged?(digest: Digest): void
  /** A blob of this node should be hashed soon: it has no chunk map, or a peer doubts it. */
  unmapped?(digest: Digest): void
}
