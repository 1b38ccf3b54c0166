import { stringify } from 'yaml'
import type { NodeConfig } from '../core/config.ts'
import { formatEndpoint } from '../core/peer.ts'
import { formatDuration } from '../core/units.ts'
import type { ConfigDocument } from './config-schema.ts'
import { renderTransfer } from './transfer-section.ts'

/**
 * The effective configuration in the names and units of the file; `parseConfig` reads it back to the same. There are
 * paths of secrets in it and no secret.
 */
export function renderConfig(config: NodeConfig): ConfigDocument {
  const { registry, p2p, store, ops } = config
  return {
    node: { name: config.node.name, zone: config.node.zone },
    dataDir: config.dataDir,
    registries: config.registries,
    registry: {
      listen: registry.listen.map(formatEndpoint),
      workers: registry.workers,
      stallTimeout: formatDuration(registry.stallTimeoutMs),
      maxConnections: registry.maxConnections,
    },
    transfer: renderTransfer(config.transfer),
    p2p: {
      listen: p2p.listen.map(formatEndpoint),
      advertise: p2p.advertise.map(formatEndpoint),
      udp: p2p.udp,
    },
    bootstrap: config.bootstrap.map(formatEndpoint),
    store:
      store.type === 'oci-layout'
        ? { type: store.type, path: store.path }
        : {
            type: store.type,
            socket: store.socket,
            namespaces: [...store.namespaces],
            ...(store.contentPath === undefined ? {} : { contentPath: store.contentPath }),
          },
    auditInterval: formatDuration(config.auditIntervalMs),
    trust: { ...config.trust },
    ops: {
      socket: ops.socket,
      ...(ops.listen === undefined ? {} : { listen: formatEndpoint(ops.listen) }),
    },
    log: { level: config.log.level },
    metrics: { spegelNames: config.metrics?.spegelNames ?? true },
    images: { ...config.images },
    shutdownGrace: formatDuration(config.shutdownGraceMs),
    certsDir: config.certsDir,
    excludeReferences: [...config.excludeReferences],
    shareLatest: config.shareLatest ?? false,
    'disable-default-registry-endpoint': config.disableDefaultRegistryEndpoint ?? false,
    manageHosts: config.manageHosts ?? false,
    removeHostsAtStop: config.removeHostsAtStop ?? false,
    resolveTags: config.resolveTags ?? {},
    flights: config.flights ?? {},
    flightPatience: formatDuration(config.flightPatienceMs ?? 2000),
    disputedTags: config.disputedTags ?? 'auto',
    ...renderJoin(config),
  }
}

/** The token itself is never shown. */
function renderJoin({ join, supervisor }: NodeConfig): ConfigDocument {
  return {
    ...(join === undefined ? {} : { server: join.server }),
    ...(join?.tokenFile === undefined ? {} : { tokenFile: join.tokenFile }),
    ...(supervisor === undefined
      ? {}
      : {
          supervisor: {
            listen: supervisor.listen.map(formatEndpoint),
            advertise: supervisor.advertise.map(formatEndpoint),
            names: [...supervisor.names],
            certificateLifetime: formatDuration(supervisor.certificateLifetimeMs),
          },
          'embedded-registry': supervisor.embeddedRegistry,
          'supervisor-metrics': supervisor.metrics,
        }),
  }
}

/** The same as YAML text. */
export function renderConfigYaml(config: NodeConfig): string {
  return stringify(renderConfig(config), { lineWidth: 0, aliasDuplicateObjects: false })
}
