import { join } from 'node:path'
import type { NodeConfig, SupervisorConfig } from '../../core/config.ts'
import { StarlingError } from '../../core/errors.ts'
import type { AdminActions } from '../../core/ops-view.ts'
import { formatEndpoint } from '../../core/peer.ts'
import type { Clock, Logger, Metrics, Rng, Service } from '../../core/ports.ts'
import { createSupervisorServer } from '../../supervisor/server.ts'
import { withServer, withSettings } from '../../trust/cluster-changes.ts'
import { embeddedRegistryOf } from '../../trust/cluster-state.ts'
import { advertisedEndpoints } from '../addresses.ts'
import { exists, makeParentFolder, writeFolder } from '../trust/folder.ts'
import { Admissions } from './admissions.ts'
import type { ClusterLink } from './cluster-link.ts'
import { openClusterStore, serverFolder } from './cluster-store.ts'
import { createConductor, type PresenceOf } from './conductor.ts'
import { makeFirstServerFolder } from './first-state.ts'
import { createReplicator } from './replicator.ts'
import { createRotationAdmin } from './rotation-admin.ts'
import { createServerCertificates } from './server-certificates.ts'
import { fetchServerFolder, untilAnswered } from './server-join.ts'
import { createSupervisorService } from './supervisor-service.ts'
import { createTokenAdmin } from './token-admin.ts'
import { pause } from './waiting.ts'

const firstRetryMs = 500
const maxRetryMs = 15_000

export interface ServerPartOptions {
  readonly config: NodeConfig
  readonly password: string
  readonly clock: Clock
  readonly rng: Rng
  readonly log: Logger
  readonly metrics: Metrics
  readonly metricsText: () => Promise<string>
  /** What membership knows, where the node of this server takes part in it. */
  readonly presence?: PresenceOf
  /** Ends the first joining. */
  readonly signal: AbortSignal
}

/** The server role of a node. */
export interface ServerPart extends Service {
  /** How the node of this machine joins: without network and token. */
  readonly link: ClusterLink
  readonly admin: AdminActions
  /** Takes up what of the configuration may change while it runs. @throws StarlingError DISK_FULL */
  configure(config: NodeConfig): Promise<void>
  problems(): readonly string[]
}

function supervisorOf(config: NodeConfig): SupervisorConfig {
  if (config.supervisor === undefined) throw new StarlingError('INTERNAL', 'a server without configuration')
  return config.supervisor
}

/** The state on this disk, from another server, or a new one: the first server of a cluster. */
async function ensureState(
  options: ServerPartOptions,
  urls: readonly string[],
): Promise<'kept' | 'joined' | 'new'> {
  const { config, password, clock, rng, log, signal } = options
  await makeParentFolder(config.dataDir)
  if (await exists(join(config.dataDir, serverFolder))) return 'kept'
  if (config.join === undefined) {
    const files = await makeFirstServerFolder(config.node.name, clock.wallMs())
    await writeFolder(config.dataDir, serverFolder, files)
    return 'new'
  }
  const retry = (attempt: number) =>
    pause(Math.min(maxRetryMs, firstRetryMs * 2 ** Math.min(attempt, 8)) * (0.5 + rng.next()), signal)
  const fetch = () => fetchServerFolder(config, { password, urls }, { log, signal })
  await writeFolder(config.dataDir, serverFolder, await untilAnswered(fetch, { retry, signal, log }))
  return 'joined'
}

/**
 * Opens the state and builds the endpoint; nothing listens before `start`.
 * @throws StarlingError TOKEN_INVALID, JOIN_REFUSED, SERVER_UNTRUSTED, TRUST_FILE_INVALID, TRUST_FILE_UNSAFE, DISK_FULL
 */
export async function openServerPart(options: ServerPartOptions): Promise<ServerPart> {
  const { clock, rng, log, metrics } = options
  let { config } = options
  const own = supervisorOf(config)
  const { name } = config.node
  const reached = advertisedEndpoints(own.listen, own.advertise)
  const urls = reached.map((endpoint) => `https://${formatEndpoint(endpoint)}`)
  const origin = await ensureState(options, urls)
  const store = await openClusterStore(config.dataDir, name)
  if (origin !== 'kept') {
    const folder = join(config.dataDir, serverFolder)
    log.info({ audit: 'server', origin, folder }, 'audit: this server keeps the keys of the cluster')
  }
  const lifetimeMs = () => supervisorOf(config).certificateLifetimeMs
  const certificates = await createServerCertificates({
    store,
    hosts: [...new Set([...reached.map(({ host }) => host), ...own.names])],
    lifetimeMs,
    clock,
    log,
  })
  const reserved = new Set(own.names.filter((other) => other !== name))
  const admissions = new Admissions({ store, lifetimeMs, reserved, clock, log, metrics })
  const service = createSupervisorService({
    store,
    admissions,
    clock,
    rng,
    metrics,
    metricsText: () => (supervisorOf(config).metrics ? options.metricsText() : undefined),
  })
  const server = createSupervisorServer({
    api: service,
    listen: own.listen,
    tls: certificates,
    clock,
    log: log.child({ part: 'supervisor' }),
    metrics,
  })
  const replicator = createReplicator({ store, certificates, service, rng, log, metrics })
  const conductor = createConductor({
    store,
    acknowledged: service.acknowledged,
    presence: options.presence ?? (() => undefined),
    clock,
    log: log.child({ part: 'rotation' }),
    metrics,
  })
  const started: Service[] = []
  const self = { name, server: true, address: '', notBeforeMs: Number.POSITIVE_INFINITY }

  async function configure(next: NodeConfig): Promise<void> {
    config = { ...next, supervisor: { ...supervisorOf(next), listen: own.listen } }
    await store.update((state) => withSettings(state, supervisorOf(next).embeddedRegistry, name))
  }

  async function stop(): Promise<void> {
    for (const part of started.splice(0).reverse()) await part.stop()
  }

  return {
    link: {
      join: async (request) => {
        const issued = await admissions.joinSelf(request)
        return { ...issued, ...(await changeFor()) }
      },
      renew: (request) => service.renew(request, self),
      watch: (query, signal) => service.watch(query, self, signal),
      follows: () => name,
      learn: () => undefined,
      use: () => undefined,
      refuse: () => undefined,
      close: () => undefined,
    },
    admin: {
      ...createTokenAdmin({ store, acknowledged: service.acknowledged, clock, log }),
      ...createRotationAdmin({ store, conductor, clock, log }),
    },
    configure,
    problems() {
      const said = supervisorOf(config).embeddedRegistry
      const counts = embeddedRegistryOf(store.current())
      if (said === counts) return []
      const words = (on: boolean) => (on ? 'on' : 'off')
      return [
        `embedded-registry is ${words(said)} in the file of this server and ${words(counts)} in the cluster, as another server's file says that was changed later: make them alike`,
      ]
    },
    async start() {
      try {
        for (const part of [certificates, server]) {
          await part.start()
          started.push(part)
        }
        await store.update((state) => withServer(state, name, urls, name))
        await configure(config)
        for (const part of [replicator, conductor]) {
          await part.start()
          started.push(part)
        }
      } catch (error) {
        await stop()
        throw error
      }
    },
    stop,
  }

  async function changeFor() {
    const { revision, view, peers } = await service.watch({}, self, options.signal)
    if (view === undefined) throw new StarlingError('INTERNAL', 'a first answer without a view')
    return { revision, view, peers }
  }
}
