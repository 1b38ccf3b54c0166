import type { RegistrySummary } from './cluster.ts'
import type { StoreStatus } from './content-store.ts'
import type { PeerShare, RequestSource } from './lookup.ts'

/** The JSON of the ops API, version 1. Times are ISO 8601 in UTC, sizes bytes, durations milliseconds. */

/** The images folder, and what came of its files. */
export interface ImportView {
  readonly folder: string
  /** Why it can't be worked on now, in one line. */
  readonly problem: string | undefined
  readonly current:
    | {
        readonly file: string
        readonly readBytes: number
        readonly totalBytes: number
        readonly bytesPerSecond: number
        /** How many the file names; absent until that was read. */
        readonly images: number | undefined
        /** Files that wait behind this one. */
        readonly filesLeft: number
      }
    | undefined
  readonly files: readonly {
    readonly file: string
    readonly images: readonly string[]
    readonly problem: string | undefined
    /** References of a list that no node has yet, and why each could not be pulled. */
    readonly waiting: readonly { readonly name: string; readonly reason: string }[]
  }[]
}

export interface ClusterStatusView {
  /** Names of all servers. */
  readonly servers: readonly string[]
  /** The server that tells this node of changes now; null: none answers. */
  readonly follows: string | null
  /** Mirroring is on for the whole cluster. */
  readonly embeddedRegistry: boolean
  /** Names what the servers told last. */
  readonly revision: string
  /** An exchange of what all share, as the servers told last; null: none. */
  readonly rotation: {
    readonly kind: 'psk' | 'ca'
    readonly stage: 'spread' | 'switch'
    /** It goes back to what was before. */
    readonly back: boolean
  } | null
  /** Names of the nodes that are refused for good. */
  readonly revoked: readonly string[]
}

/** A blob that is being downloaded and given on at the same time, as far as this node knows of it. */
export interface FlightView {
  readonly registry: string
  readonly digest: string
  /** It gets the blob from upstream for others, gets it from one of them, or arranges who follows whom. */
  readonly role: 'lead' | 'follow' | 'steward'
  readonly steward: string | null
  /** Who gets it from upstream, or has all of it; null where only the steward knows, or nobody does. */
  readonly leader: string | null
  readonly parent: string | null
  readonly state: string
  /** Of a steward: the most that any participant has. */
  readonly reachedBytes: number
  readonly sizeBytes: number | null
  /** Bytes that its participants, as far as this node knows them, have got from one another so far, and not from upstream. */
  readonly savedBytes: number
  readonly participants: number
  /** Of a steward: who follows whom. */
  readonly tree: readonly {
    readonly node: string
    readonly parent: string | null
    readonly leads: boolean
    readonly reachedBytes: number
  }[]
}

/** What a member does in a flight, as far as this node knows. */
export interface PeerFlightView {
  readonly registry: string
  readonly digest: string
  /** `lead`: from upstream, or it has all of it. */
  readonly role: 'lead' | 'follow'
  readonly parent: string | null
  readonly reachedBytes: number
  readonly sizeBytes: number | null
}

/** A peer that sent this node wrong bytes, and of which nothing is taken. */
export interface QuarantineView {
  readonly name: string
  readonly peerId: string
  readonly since: string
  readonly until: string
  /** The blob of which wrong bytes came. */
  readonly digest: string
  /** What shows it, in half a sentence. */
  readonly reason: string
  /** How often it came to this. */
  readonly times: number
}

/** A node that has put this one into quarantine, by its own word. */
export type AccusationView = Omit<QuarantineView, 'times'>

export interface StatusView {
  readonly name: string
  readonly peerId: string
  readonly version: string
  readonly role: string
  readonly zone: string
  readonly startedAt: string
  readonly uptimeMs: number
  /** Does this node take part in sharing, and if not, why. */
  readonly sharing: { readonly active: boolean; readonly reason: string }
  readonly registryListen: readonly string[]
  readonly p2pListen: readonly string[]
  readonly udp: boolean
  readonly store: StoreStatus
  readonly members: Readonly<Record<'alive' | 'suspect' | 'stalled' | 'dead' | 'left', number>>
  readonly connections: number
  readonly registries: readonly RegistrySummary[]
  readonly certificates: readonly { readonly name: string; readonly notAfter: string }[]
  readonly imports?: ImportView
  /** Of a node that has joined servers, or is one. */
  readonly cluster?: ClusterStatusView
  /** What flies now. */
  readonly flights?: readonly FlightView[]
  /** Absent while nothing is shared. */
  readonly quarantine?: { readonly peers: readonly QuarantineView[]; readonly by: readonly AccusationView[] }
  /** What an operator should look at, each in one line; empty when all is well. */
  readonly problems: readonly string[]
}

export interface PeerView {
  readonly name: string
  readonly peerId: string
  readonly self: boolean
  readonly state: string
  readonly incarnation: number
  readonly since: string
  readonly addresses: readonly string[]
  readonly registryPort: number
  readonly zone: string
  readonly role: string
  readonly version: string
  readonly registries: readonly string[]
  readonly registriesCount: number
  readonly digests: number
  readonly rttMs: number | null
  readonly connected: boolean
  /** Present where this node has put it into quarantine. */
  readonly quarantine?: QuarantineView
  /** Present where this node knows of some. */
  readonly flights?: readonly PeerFlightView[]
}

export interface ImageView {
  readonly reference: string
  readonly registry: string
  readonly repository: string
  readonly tag: string
  readonly digest: string
  readonly local: boolean
  /** Names of the nodes that hold the digest of the manifest or index. */
  readonly holders: readonly string[]
  /** Names of those that have all of it, for a platform that this node has too; null where this node can't tell. */
  readonly whole: readonly string[] | null
}

export interface WhereView {
  readonly query: string
  readonly digest: string | null
  /** One line: what a pull of it would do now, and why. */
  readonly verdict: string
  readonly holders: readonly {
    readonly registry: string
    readonly name: string
    readonly peerId: string
    readonly state: string
    readonly self: boolean
    readonly zone: string
    readonly address: string
  }[]
  /** Names of the nodes that have all of an image, for a platform that this node has too; null where this node can't tell. */
  readonly whole: readonly string[] | null
  /** For a tag on which nodes disagree: the digests and how many nodes stand for each. */
  readonly disputed: readonly { readonly digest: string; readonly holders: number }[]
}

/** What would be lost to the cluster with a node; lists are cut at 1,000 entries, counts are whole. */
export interface DrainView {
  readonly name: string
  readonly peerId: string
  readonly state: string
  readonly digests: number
  /** What no other live node holds. */
  readonly onlyThereCount: number
  readonly onlyThere: readonly { readonly registry: string; readonly digest: string }[]
  /** Images of which no other live node has all, or, where this node can't tell, the manifest. */
  readonly imagesCount: number
  readonly images: readonly string[]
  readonly verdict: string
}

/** What became of a request to the registry API that its client gave a name. */
export interface RequestView {
  readonly id: string
  readonly status: number
  readonly source: RequestSource
  /** The decision and its reason in one line. */
  readonly reason: string
  /** What each peer gave. */
  readonly shares: readonly PeerShare[]
  readonly bytes: number
  readonly durationMs: number
}

export interface ReadyView {
  readonly ready: boolean
  readonly reasons: readonly string[]
}

/**
 * What changes something, by name: on the Unix socket alone, whose mode says who may. Each takes the JSON of the request
 * and returns that of the answer. @throws StarlingError
 */
export type AdminActions = Readonly<Record<string, (body: unknown) => Promise<unknown>>>

/** What the ops API needs of a node. */
export interface NodeView {
  status(): StatusView
  peers(): readonly PeerView[]
  registries(): readonly RegistrySummary[]
  images(): readonly ImageView[]
  /** `query` is a digest or an image reference. @throws StarlingError DIGEST_INVALID, REFERENCE_INVALID */
  where(query: string): WhereView
  /** One of the last requests that had a name. @throws StarlingError NOT_FOUND */
  request(id: string): RequestView
  /** `node` is a name or a PeerId. @throws StarlingError NOT_FOUND, USAGE where several nodes have the name */
  drainCheck(node: string): DrainView
  ready(): ReadyView
  /** Prometheus text format, version 0.0.4. */
  metrics(): Promise<string>
}
