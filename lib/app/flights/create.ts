import { type CatalogService, isMirrored, type MembershipService } from '../../core/cluster.ts'
import type { NodeConfig } from '../../core/config.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Settings } from '../../core/settings.ts'
import { defaultFlightSettings } from '../../flights/settings.ts'
import { createFlightsService, type FlightsOptions, type FlightsService } from './service.ts'

export interface FlightsParts
  extends Pick<
    FlightsOptions,
    'datagrams' | 'rpc' | 'store' | 'uploadsAtOnce' | 'clock' | 'log' | 'metrics'
  > {
  readonly peerId: PeerId
  readonly membership: MembershipService
  readonly catalog: CatalogService
  readonly settings: Settings
  readonly config: NodeConfig
}

/** Joins the flights to the parts of a node. */
export function createNodeFlights(parts: FlightsParts): FlightsService {
  const { membership, catalog, settings, config } = parts
  return createFlightsService({
    ...parts,
    self: parts.peerId,
    members: () => membership.members(),
    memberOf: (peerId) => membership.get(peerId),
    registriesOf: (peerId) => membership.registriesOf(peerId),
    isNamed: (registry) => settings.current().mirrors.names.includes(registry),
    isEnabled: (registry) =>
      isMirrored(settings.current().mirrors, registry) && settings.current().flights?.(registry) !== false,
    hasLocal: (registry, digest) => catalog.hasLocal(registry, digest),
    settings: { patienceMs: config.flightPatienceMs ?? defaultFlightSettings.patienceMs },
    log: parts.log.child({ part: 'flights' }),
  })
}
