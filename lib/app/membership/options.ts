import type { KeyObject } from 'node:crypto'
import type { MembershipService, PeerConnector } from '../../core/cluster.ts'
import type { AttestationRegistry, DatagramTransport, PeerRpc } from '../../core/messaging.ts'
import type { Endpoint } from '../../core/peer.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Clock, Logger, Metrics, Rng } from '../../core/ports.ts'
import type { MembershipSettings } from '../../membership/settings.ts'

/** What this node says of itself, apart from its registries. */
export interface OwnFacts {
  readonly peerId: PeerId
  readonly name: string
  /** Where others reach it: advertised addresses. */
  readonly p2p: readonly Endpoint[]
  readonly registryPort: number
  readonly zone: string
  /** `agent` or `server`. */
  readonly role: string
  readonly version: string
  /** SHA-256 of the SubjectPublicKeyInfo of its serving certificate; 32 bytes. */
  readonly certificateKeyHash: Uint8Array
}

/** What may change while a node runs. */
export type ChangeableFacts = Partial<Pick<OwnFacts, 'registryPort' | 'certificateKeyHash'>>

export interface MembershipOptions {
  readonly clock: Clock
  readonly rng: Rng
  readonly logger: Logger
  readonly metrics: Metrics
  readonly datagrams: DatagramTransport
  readonly rpc: PeerRpc
  readonly connector: PeerConnector
  readonly attestations: AttestationRegistry
  /** Ed25519 identity that signs the own record. */
  readonly privateKey: KeyObject
  readonly own: OwnFacts
  readonly registries: readonly string[]
  /** Addresses to ask when joining, names resolved; asked again now and then. */
  readonly bootstrap: () => Promise<readonly Endpoint[]>
  /** File in the data directory that remembers the members. */
  readonly snapshotPath: string
  readonly settings?: MembershipSettings
}

/** What the composition needs beyond the port. */
export interface RunningMembership extends MembershipService {
  /** Is any other member known to live? */
  hasCompany(): boolean
  /** True as soon as another member is known to live, false when `timeoutMs` are over before. */
  whenJoined(timeoutMs: number): Promise<boolean>
  /** This node has another port or certificate: a new record is signed and told. */
  setFacts(change: ChangeableFacts): void
  /** This node has a new certificate, maybe with the same key: others fetch its proof with a new record. */
  retell(): void
  /** A node was revoked: it counts as gone, and nothing that is said of it is heard any more. */
  expel(peerId: PeerId): void
}
