import { posix } from 'node:path'
import type { NodeConfig, TrustFiles } from '../core/config.ts'
import { StarlingError } from '../core/errors.ts'
import { type Endpoint, formatEndpoint } from '../core/peer.ts'
import { canonicalRegistry, isRegistryHost } from '../core/reference.ts'
import { configDefaults as defaults } from './config-defaults.ts'
import { type ConfigDocument, configJsonSchema } from './config-schema.ts'
import { endpoints, hostPort, milliseconds, toList } from './config-values.ts'
import { deepFreeze } from './deep-freeze.ts'
import { isNodeName } from './formats.ts'
import {
  findRoleConflicts,
  isJoined,
  type NodeRole,
  normaliseJoin,
  normaliseSupervisor,
} from './join-config.ts'
import { createSchemaCheck } from './schema-check.ts'
import { normaliseTransfer } from './transfer-section.ts'
import { pointerTo, readYaml, throwAll, type YamlSource } from './yaml-source.ts'

export { configJsonSchema } from './config-schema.ts'

export interface ParseConfigOptions {
  /** Name of the machine, for nodes whose file gives no name. */
  readonly hostname: string
  /** Absolute folder that relative paths start from; default: the folder of `file`. */
  readonly folder?: string
  /** What the file is read for; undefined: to look at it. */
  readonly role?: NodeRole | undefined
}

const code = 'CONFIG_INVALID'
/** Room for the path of a Unix socket (unix(7), `sun_path`), less the NUL at its end. */
const maxSocketPathSizeBytes = 107

const checkSchema = createSchemaCheck(configJsonSchema)

/**
 * Reads config.yaml: YAML by the schema, defaults filled in, durations in milliseconds, paths absolute, deep-frozen.
 * @throws StarlingError, StarlingErrors CONFIG_INVALID, a line for each error: `file:line:column: what is wrong; what to do`
 */
export function parseConfig(
  content: string | Uint8Array,
  file: string,
  options: ParseConfigOptions,
): NodeConfig {
  const source = readYaml(content, file, code)
  if (source.value === undefined) {
    throw new StarlingError(code, 'the file is empty', {
      hint: 'write {} to use the defaults throughout, or see starling config schema',
      position: { file, line: 1, column: 1 },
    })
  }
  const { errors, unknownKeys } = checkSchema(source, file, code)
  throwAll([...errors, ...unknownKeys])
  const document = source.value as ConfigDocument
  const config = normalise(document, options.folder ?? posix.dirname(file), options)
  throwAll([
    ...findConflicts(config, document, source, file),
    ...findRoleConflicts(config, document, options.role).map(({ pointer, message, hint }) => {
      const position = { file, ...source.placeOf(pointer, 'value') }
      return new StarlingError(code, message, { hint, position })
    }),
  ])
  return deepFreeze(config)
}

function normalise(
  document: ConfigDocument,
  folder: string,
  { hostname, role }: ParseConfigOptions,
): NodeConfig {
  const resolve = (path: string) => (path.startsWith('/') ? posix.normalize(path) : posix.join(folder, path))
  const { registry = {}, p2p = {}, ops = {} } = document
  const trust = typeof document.trust === 'object' ? document.trust : {}
  const dataDir = resolve(document.dataDir ?? defaults.dataDir)
  const trustDir = isJoined(document, role) ? posix.join(dataDir, defaults.joinedTrustDir) : defaults.trustDir
  const p2pListen = endpoints(p2p.listen ?? defaults.p2p.listen)
  const p2pPort = p2pListen[0]?.port ?? defaults.p2p.port
  const trustFile = (key: keyof TrustFiles) =>
    resolve(trust[key] ?? posix.join(trust.dir ?? trustDir, defaults.trustFiles[key]))
  return {
    node: { name: document.node?.name ?? hostname, zone: document.node?.zone ?? defaults.zone },
    dataDir,
    registries: resolve(document.registries ?? defaults.registries),
    registry: {
      listen: endpoints(registry.listen ?? defaults.registry.listen),
      workers: registry.workers ?? defaults.registry.workers,
      stallTimeoutMs: milliseconds(
        registry.stallTimeout ?? document.transfer?.stallTimeout ?? defaults.registry.stallTimeout,
      ),
      maxConnections: registry.maxConnections ?? defaults.registry.maxConnections,
    },
    transfer: normaliseTransfer(document.transfer),
    p2p: {
      listen: p2pListen,
      advertise: toList(p2p.advertise ?? []).map((text) => hostPort(text, p2pPort)),
      udp: p2p.udp ?? defaults.p2p.udp,
    },
    bootstrap: (document.bootstrap ?? []).map((text) => hostPort(text, defaults.p2p.port)),
    store: normaliseStore(document.store, resolve),
    auditIntervalMs: milliseconds(document.auditInterval ?? defaults.auditInterval),
    trust: {
      serverCa: trustFile('serverCa'),
      clientCa: trustFile('clientCa'),
      servingCert: trustFile('servingCert'),
      servingKey: trustFile('servingKey'),
      clientCert: trustFile('clientCert'),
      clientKey: trustFile('clientKey'),
      psk: trustFile('psk'),
      identity: trustFile('identity'),
      revocations: trustFile('revocations'),
    },
    ops: {
      socket: resolve(ops.socket ?? defaults.opsSocket),
      listen: ops.listen === undefined ? undefined : endpoints(ops.listen)[0],
    },
    log: { level: document.log?.level ?? defaults.logLevel },
    metrics: { spegelNames: document.metrics?.spegelNames ?? defaults.metrics.spegelNames },
    images: {
      dir: resolve(
        document.images?.dir ?? posix.join(document.dataDir ?? defaults.dataDir, defaults.images.dir),
      ),
      platform: document.images?.platform ?? defaults.images.platform,
    },
    shutdownGraceMs: milliseconds(document.shutdownGrace ?? defaults.shutdownGrace),
    certsDir: resolve(document.certsDir ?? defaults.certsDir),
    excludeReferences: [...(document.excludeReferences ?? defaults.excludeReferences)],
    shareLatest: document.shareLatest ?? defaults.shareLatest,
    disableDefaultRegistryEndpoint:
      document['disable-default-registry-endpoint'] ??
      document['disable-default-endpoint'] ??
      defaults.disableDefaultRegistryEndpoint,
    manageHosts: document.manageHosts ?? defaults.manageHosts,
    removeHostsAtStop: document.removeHostsAtStop ?? defaults.removeHostsAtStop,
    resolveTags: normaliseByHost(document.resolveTags ?? defaults.resolveTags),
    flights: normaliseByHost(document.flights ?? defaults.flights),
    flightPatienceMs: milliseconds(document.flightPatience ?? defaults.flightPatience),
    disputedTags: document.disputedTags ?? defaults.disputedTags,
    ...normaliseJoin(document, resolve),
    supervisor: normaliseSupervisor(document),
  }
}

function normaliseStore(
  store: ConfigDocument['store'],
  resolve: (path: string) => string,
): NodeConfig['store'] {
  if (store?.type === 'oci-layout') return { type: 'oci-layout', path: resolve(store.path) }
  return {
    type: 'containerd',
    socket: resolve(store?.socket ?? defaults.containerd.socket),
    namespaces: [...(store?.namespaces ?? defaults.containerd.namespaces)],
    contentPath: store?.contentPath === undefined ? undefined : resolve(store.contentPath),
  }
}

function normaliseByHost(value: NonNullable<ConfigDocument['resolveTags']>): Record<string, boolean> {
  if (typeof value === 'boolean') return value ? {} : { '*': false }
  return Object.fromEntries(Object.entries(value).map(([host, on]) => [canonicalRegistry(host), on]))
}

/** What no schema can say: values that are good alone and can't be together. */
function findConflicts(
  config: NodeConfig,
  document: ConfigDocument,
  source: YamlSource,
  file: string,
): StarlingError[] {
  const errors: StarlingError[] = []
  const report = (pointer: string, message: string, hint: string) => {
    const place = source.placeOf(pointer, 'value')
    errors.push(new StarlingError(code, message, { hint, position: { file, ...place } }))
  }
  if (document.node?.name === undefined && !isNodeName(config.node.name)) {
    const shown = JSON.stringify(config.node.name)
    report('/node', `the host name ${shown} cannot be the name of a node`, 'set node.name')
  }
  const [longName, shortName] = ['disable-default-registry-endpoint', 'disable-default-endpoint'] as const
  if (document[longName] !== undefined && document[shortName] !== undefined) {
    report(`/${shortName}`, `${shortName} is another name of ${longName}`, 'remove one of them')
  }
  if (document.registry?.stallTimeout !== undefined && document.transfer?.stallTimeout !== undefined) {
    const hint = 'remove one of them'
    report('/transfer/stallTimeout', 'transfer.stallTimeout is another name of registry.stallTimeout', hint)
  }
  for (const key of ['resolveTags', 'flights'] as const) {
    const value = document[key]
    for (const host of Object.keys(typeof value === 'object' ? value : {})) {
      if (host === '*' || isRegistryHost(host)) continue
      report(
        pointerTo(`/${key}`, host),
        `${JSON.stringify(host)} is not a registry host`,
        'write docker.io or "*"',
      )
    }
  }
  const taken = new Map<string, string>()
  const listens: readonly [string, string, readonly Endpoint[]][] = [
    ['p2p.listen', '/p2p/listen', config.p2p.listen],
    ['registry.listen', '/registry/listen', config.registry.listen],
    ['ops.listen', '/ops/listen', config.ops.listen === undefined ? [] : [config.ops.listen]],
    ['supervisor.listen', '/supervisor/listen', config.supervisor?.listen ?? []],
  ]
  for (const [label, pointer, list] of listens) {
    for (const endpoint of list) {
      const text = formatEndpoint(endpoint)
      const other = taken.get(text)
      if (other !== undefined && endpoint.port !== 0) {
        report(pointer, `${label} and ${other} both take ${text}`, 'give one of them another port')
      }
      taken.set(text, label)
    }
  }
  for (const [label, pointer, path] of [
    ['ops.socket', '/ops/socket', config.ops.socket],
    ['store.socket', '/store/socket', config.store.type === 'containerd' ? config.store.socket : ''],
  ] as const) {
    if (Buffer.byteLength(path) > maxSocketPathSizeBytes) {
      report(
        pointer,
        `${label} is longer than ${maxSocketPathSizeBytes} bytes, the most that a Unix socket can have`,
        'choose a shorter path',
      )
    }
  }
  return errors
}
