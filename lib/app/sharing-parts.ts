import type { CatalogService } from '../core/cluster.ts'
import type { NodeConfig } from '../core/config.ts'
import type { ContentStore } from '../core/content-store.ts'
import type { Credentials } from '../core/credentials.ts'
import type { RequestReport } from '../core/lookup.ts'
import type { Endpoint } from '../core/peer.ts'
import type { Clock, Logger, Metrics, Rng, Service } from '../core/ports.ts'
import type { Settings } from '../core/settings.ts'
import type { ClusterHost } from '../network/host.ts'
import type { UdpTransport } from '../network/udp-transport.ts'
import type { FlightsService } from './flights/service.ts'
import type { IntegrityService } from './integrity/service.ts'
import type { RunningMembership } from './membership/options.ts'
import type { QuarantineService } from './quarantine/service.ts'
import type { HandedOver } from './registry/hand-over.ts'
import type { RegistryService } from './registry/registry-service.ts'

export interface SharingOptions {
  readonly config: NodeConfig
  readonly credentials: Credentials
  readonly settings: Settings
  readonly role: 'agent' | 'server'
  /** Members that the servers know of, beside `bootstrap` of the configuration. */
  readonly peers: () => readonly Endpoint[]
  readonly clock: Clock
  readonly rng: Rng
  readonly log: Logger
  readonly metrics: Metrics
  /** A trust file was written: it is to be read now. */
  readonly trustChanged: () => Promise<void>
  /** Hears of each request to the registry API. */
  readonly requested?: ((report: RequestReport) => void) | undefined
  /** Of the sharing part that is replaced; default: a new one. */
  readonly registry?: HandedOver | undefined
}

/** Everything that runs only while this node mirrors something: ports, membership, catalog, store and registry. */
export interface Sharing extends Service {
  readonly host: ClusterHost
  readonly udp: UdpTransport
  readonly membership: RunningMembership
  readonly catalog: CatalogService
  readonly store: ContentStore
  readonly registry: RegistryService
  readonly integrity: IntegrityService
  readonly quarantine: QuarantineService
  readonly flights: FlightsService
  /** Ends like `stop`, but for the registry API, which goes on for who comes next and answers from what was known here. */
  release(): Promise<HandedOver>
  /**
   * The registry API is served at other addresses from now on; transfers in flight end at the old ones.
   * @throws StarlingError PORT_IN_USE; then nothing has changed
   */
  moveRegistry(config: NodeConfig): Promise<void>
  /** The part of the configuration that needs no new listener. */
  tune(config: NodeConfig): void
  /** Has the store told what it holds? */
  hasInventory(): boolean
}
