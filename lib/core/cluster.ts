import type { StoreChange } from './content-store.ts'
import type { Digest } from './digest.ts'
import type { Endpoint, Member, MemberChange } from './peer.ts'
import type { PeerId } from './peer-id.ts'
import type { Service } from './ports.ts'

/** The registries that this node mirrors: the keys of `mirrors:` in registries.yaml. */
export interface MirrorSet {
  /** Canonical registry hosts, sorted. */
  readonly names: readonly string[]
  /** `"*"` is a key: every registry that is seen, here or on a peer, is mirrored. */
  readonly wildcard: boolean
}

export const noMirrors: MirrorSet = { names: [], wildcard: false }

/** May registry content of this host be shared at all? Localhost registries mean another machine's everywhere else. */
export function isShareable(registry: string): boolean {
  return !/^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?$/.test(registry)
}

export function isMirrored(mirrors: MirrorSet, registry: string): boolean {
  return mirrors.names.includes(registry) || (mirrors.wildcard && isShareable(registry))
}

/** What somebody noticed about a peer on the way; it starts probes and is never a verdict (DESIGN §4). */
export type PeerHint = 'refused' | 'closed' | 'stalled' | 'answered'

/** SWIM membership, running. */
export interface MembershipService extends Service {
  self(): Member
  /** All known members, this node included, the dead and those that left too while they are remembered. */
  members(): readonly Member[]
  get(peerId: PeerId): Member | undefined
  /** The registries that a member mirrors, where known. */
  registriesOf(peerId: PeerId): readonly string[] | undefined
  onChange(listener: (change: MemberChange) => void): () => void
  hint(peerId: PeerId, hint: PeerHint): void
  /** This node's mirrored registries have changed: a new record is signed and told. */
  setRegistries(registries: readonly string[]): void
  /** Tells the others that this node leaves. */
  leave(): Promise<void>
}

/** Whose holdings count: `masked` while dead or stalled, `forgotten` after the grace period. */
export type OriginState = 'live' | 'masked' | 'forgotten'

export interface HolderSample {
  /** Live holders in all, this node not counted. */
  readonly holders: number
  /** Up to the limit asked for, sampled at random. */
  readonly peers: readonly PeerId[]
}

export type TagLookup =
  | { readonly state: 'agreed'; readonly digest: Digest; readonly holders: number }
  | { readonly state: 'disputed'; readonly sides: readonly { digest: Digest; holders: number }[] }
  | { readonly state: 'unknown' }

/** One registry, as `starling status` shows it. */
export interface RegistrySummary {
  readonly registry: string
  /** Nodes with an inventory of it, this node included. */
  readonly origins: number
  readonly localDigests: number
  readonly localTags: number
  /** Manifests and indexes that names of images point to. */
  readonly localImages: number
  /** Distinct digests that any live node holds. */
  readonly digests: number
  readonly tags: number
  readonly disputedTags: number
}

/** A tagged image, and who has what it points to. */
export interface CatalogTag {
  readonly registry: string
  readonly repository: string
  readonly tag: string
  readonly digest: Digest
  readonly holders: readonly PeerId[]
}

/** The replicated catalog, running. Lookups read local memory and never wait. */
export interface CatalogService extends Service {
  applyStoreChange(change: StoreChange): Promise<void>
  setMirrors(mirrors: MirrorSet): void
  setOriginState(origin: PeerId, state: OriginState): void
  /** The registries that are joined now; with a wildcard they grow. */
  registries(): readonly string[]
  onRegistriesChanged(listener: (registries: readonly string[]) => void): () => void
  /** Called when the digests or tags of a registry have changed here or elsewhere; caches of lookups end. */
  onChanged(listener: (registry: string) => void): () => void
  findHolders(registry: string, digest: Digest, limit: number): HolderSample
  findTag(registry: string, repository: string, tag: string): TagLookup
  hasLocal(registry: string, digest: Digest): boolean
  /** The local client has asked for a blob of this registry: what its store shows of it soon came from there. */
  expect(registry: string, digest: Digest): void
  /** The one registry that knows the repository; undefined for none, `ambiguous` for several. */
  registryOf(repository: string): string | 'ambiguous' | undefined
  /** Sorted by code unit. */
  repositories(registry: string): readonly string[]
  tags(registry: string, repository: string): readonly string[]
  /** Every tag that a live node, this one included, announces; sorted. */
  allTags(): readonly CatalogTag[]
  summaries(): readonly RegistrySummary[]
  /** Number of digests that an origin announces, over all registries. */
  digestCountOf(origin: PeerId): number
  /**
   * The live nodes, this one included, that have a whole image: the manifest with all it names, of an index that of one platform that
   * this node has too. Undefined where this node doesn't have what tells.
   */
  wholeHolders(registry: string, target: Digest): readonly PeerId[] | undefined
  /** What a node holds that no other live node does, registry by registry. */
  soleDigests(holder: PeerId): Iterable<{ readonly registry: string; readonly digest: Digest }>
}

/** A connection between two nodes, as the network adapter sees it. */
export interface PeerConnection {
  readonly peerId: PeerId
  readonly direction: 'inbound' | 'outbound'
  readonly remote: Endpoint | undefined
  readonly openedMs: number
}

/** Dials and keeps libp2p connections; what it connects to has passed all three gates (DESIGN §7). */
export interface PeerConnector {
  /** Dials an address whose PeerId is not known yet. @throws StarlingError PEER_UNREACHABLE, ATTESTATION_REFUSED */
  connect(endpoint: Endpoint, timeoutMs: number): Promise<PeerId>
  /** Dials a known peer at its addresses. @throws StarlingError PEER_UNREACHABLE, ATTESTATION_REFUSED */
  connectPeer(peerId: PeerId, endpoints: readonly Endpoint[], timeoutMs: number): Promise<void>
  /** Where `PeerRpc` and `connectPeer` find a peer that they are not told the address of. */
  setAddressBook(addressesOf: (peerId: PeerId) => readonly Endpoint[]): void
  /** Closes the connections to a peer that are at least so old; all of them by default. */
  disconnect(peerId: PeerId, minAgeMs?: number): Promise<void>
  connections(): readonly PeerConnection[]
  onConnection(listener: (peerId: PeerId, state: 'open' | 'closed') => void): () => void
}
