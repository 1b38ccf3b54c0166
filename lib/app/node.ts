import type { NodeConfig } from '../core/config.ts'
import { describeError } from '../core/errors.ts'
import type { NodeView } from '../core/ops-view.ts'
import { isReachable } from '../core/peer.ts'
import type { Logger } from '../core/ports.ts'
import { createMetrics } from '../ops/metrics.ts'
import { createOpsServer } from '../ops/server.ts'
import { createLayersWatch } from './check/layers-watch.ts'
import { readConfig } from './config/config-files.ts'
import { createHostsKeeper } from './config/hosts-keeper.ts'
import { createLiveFiles } from './config/live-files.ts'
import { lockDataDir } from './data-dir.ts'
import { drainView } from './drain-view.ts'
import { createImagesFolder } from './import/images-folder.ts'
import { readyView, statusView } from './node-status.ts'
import { imageViews, isOffered, peerViews, whereView } from './node-view.ts'
import { peerActions } from './quarantine/release.ts'
import { RecentRequests } from './registry/recent-requests.ts'
import { isEmpty, SharingKeeper } from './sharing-keeper.ts'
import type { Sharing } from './sharing-parts.ts'
import { createSystemRng, systemClock } from './system.ts'
import { createCredentials, loadCredentials } from './trust/files.ts'

export interface StartOptions {
  /** Where the configuration is from: changes of it are followed while the node runs. */
  readonly configFile?: string
  /** A server keeps the keys of the cluster and answers on `supervisor.listen`. Default: agent. */
  readonly role?: 'agent' | 'server'
  /** Gives up a start that waits for the servers of the cluster. */
  readonly signal?: AbortSignal
}

export interface RunningNode {
  readonly view: NodeView
  /** Looks at config.yaml, registries.yaml and the trust files now; a change is applied whole or, if it is bad, not at all. */
  reload(): Promise<void>
  /** Says goodbye to the cluster, lets transfers in flight end within the grace period, and closes everything. */
  stop(): Promise<void>
}

/**
 * Starts a node. With nothing to mirror it opens no port, only the ops socket, and waits until registries.yaml names a registry.
 * @throws StarlingError where the data directory, a trust file, registries.yaml or a port can't be used; nothing stays open
 */
export async function startNode(
  config: NodeConfig,
  log: Logger,
  { configFile, role = 'agent', signal = new AbortController().signal }: StartOptions = {},
): Promise<RunningNode> {
  const clock = systemClock
  const rng = createSystemRng()
  const startedMs = clock.wallMs()
  const closers: (() => Promise<void>)[] = []
  const closeAll = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) {
      await close().catch((error) => log.warn({ error: describeError(error) }, 'a part did not stop cleanly'))
    }
  }

  try {
    const lock = await lockDataDir(config.dataDir)
    closers.push(() => lock.release())
    const read = ({ trust, node }: NodeConfig) => loadCredentials(trust, node.name, clock.wallMs())
    const { metrics, familiar, text } = createMetrics({
      log,
      familiar: config.metrics?.spegelNames === false ? undefined : () => clock.wallMs(),
    })
    let keeper: SharingKeeper | undefined
    const sharing = () => keeper?.current()
    const isJoined = role === 'server' || config.join !== undefined
    const common = { config, log, metrics }
    const cluster = isJoined
      ? await (await import('./supervisor/node-cluster.ts')).openNodeCluster({
          ...common,
          role,
          clock,
          rng,
          metricsText: () => view.metrics(),
          presence: () => presenceIn(sharing()),
          signal,
        })
      : undefined
    if (cluster !== undefined) closers.push(() => cluster.stop())
    const credentials = createCredentials(await read(config))
    cluster?.part.refuse(credentials.current().revocations ?? [])
    credentials.subscribe(({ revocations = [] }) => cluster?.part.refuse(revocations))
    const settings = createLiveFiles({
      ...common,
      configFile,
      readConfig: (file) => readConfig(file, role),
      sharingAllowed: cluster?.part.sharingAllowed,
      credentials,
      loadCredentials: read,
    })
    await settings.start()
    closers.push(() => settings.stop())
    const requests = new RecentRequests()
    const shared = new SharingKeeper({
      config,
      settings,
      log,
      parts: {
        role,
        peers: () => cluster?.part.peers() ?? [],
        credentials,
        settings,
        clock,
        rng,
        log,
        metrics,
        trustChanged: () => settings.reload(),
        requested: (report) => {
          requests.add(report)
          familiar?.requested(report)
        },
      },
    })
    keeper = shared
    const hosts = createHostsKeeper({
      // Containerd hears of another address once it is served.
      config: () => shared.servedConfig(),
      registries: () => settings.registries(),
      log,
      metrics,
    })

    const layers = createLayersWatch(() => settings.config().store)
    const imports = createImagesFolder({
      config: () => settings.config(),
      clock,
      log,
      metrics,
      offered: (reference) => {
        const catalog = sharing()?.catalog
        return catalog !== undefined && isOffered(reference, catalog)
      },
    })
    const sources = {
      imports,
      get config() {
        return settings.config()
      },
      hosts,
      layers,
      credentials,
      clock,
      startedMs,
      settings,
      sharing,
      registryListen: () => shared.registryAddresses(),
      sharingProblem: () => shared.problem(),
      role,
      cluster: cluster?.part,
      clusterProblems: () => cluster?.problems() ?? [],
    }
    const view: NodeView = {
      status: () => statusView(sources),
      peers: () => {
        const from = viewSources(sharing())
        return from === undefined ? [] : peerViews(from)
      },
      registries: () => sharing()?.catalog.summaries() ?? [],
      images: () => {
        const from = viewSources(sharing())
        return from === undefined ? [] : imageViews(from)
      },
      where: (query) => whereView(query, viewSources(sharing())),
      drainCheck: (node) => drainView(node, viewSources(sharing())),
      request: (id) => requests.get(id),
      ready: () => readyView(sources),
      metrics() {
        familiar?.advertised(sharing()?.catalog.summaries() ?? [])
        return text()
      },
    }

    const ops = createOpsServer({
      view,
      socket: config.ops.socket,
      listen: config.ops.listen,
      credentials,
      admin: { ...cluster?.admin, ...peerActions(() => sharing()?.quarantine) },
      log,
    })
    await ops.start()
    closers.push(() => ops.stop())

    if (isEmpty(settings.current().mirrors)) {
      const message =
        cluster?.part.sharingAllowed.current() === false
          ? 'embedded-registry is off on the servers: no port is open; waiting for it to be switched on'
          : 'no registry is mirrored: no port is open; waiting for the file to name one'
      log.info({ registries: config.registries }, message)
    }
    await shared.start()
    closers.push(() => shared.stop())
    settings.onApplied((next, before) => {
      if (next !== before) void cluster?.configure(next)
      if (next === before) return
      // How tags are answered may have changed, and what lookups answered is kept for a moment.
      sharing()?.registry.lookupsChanged()
      void shared.follow().then(() => hosts.sync())
      if (next.store !== before.store) void layers.look()
    })
    await hosts.start()
    closers.push(() => hosts.stop())
    await layers.start()
    closers.push(() => layers.stop())
    await imports.start()
    closers.push(() => imports.stop())
    cluster?.part.onChange(async () => {
      await settings.reload()
      return settings.problem()
    })
    await cluster?.part.start()
    log.info({ name: config.node.name, role, peerId: credentials.current().peerId }, 'node started')

    let stopped: Promise<void> | undefined
    return {
      view,
      reload: () => settings.reload(),
      stop() {
        stopped ??= closeAll()
        return stopped
      },
    }
  } catch (error) {
    await closeAll()
    throw error
  }
}

function viewSources(sharing: Sharing | undefined) {
  if (sharing === undefined) return undefined
  const { membership, catalog, host: connector, quarantine, flights } = sharing
  return { membership, catalog, connector, quarantine, flights }
}

/** Who is there by the word of membership, for servers. */
function presenceIn(sharing: Sharing | undefined) {
  if (sharing === undefined) return undefined
  const reachable = new Set<string>()
  const gone = new Set<string>()
  for (const { record, state } of sharing.membership.members()) {
    if (isReachable(state) || state === 'stalled') reachable.add(record.name)
    else gone.add(record.name)
  }
  return { reachable, gone }
}
