import type { MirrorSet } from '../core/cluster.ts'
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
import { registryMoves, sharingChange } from './config/sharing-change.ts'
import { lockDataDir } from './data-dir.ts'
import { drainView } from './drain-view.ts'
import { createImagesFolder } from './import/images-folder.ts'
import { readyView, statusView } from './node-status.ts'
import { imageViews, isOffered, peerViews, whereView } from './node-view.ts'
import { peerActions } from './quarantine/release.ts'
import type { HandedOver } from './registry/hand-over.ts'
import { RecentRequests } from './registry/recent-requests.ts'
import { createSharing } from './sharing.ts'
import type { Sharing, SharingOptions } from './sharing-parts.ts'
import { createSystemRng, systemClock } from './system.ts'
import { createCredentials, loadCredentials } from './trust/files.ts'

const retrySharingMs = 15_000

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

function isEmpty(mirrors: MirrorSet): boolean {
  return mirrors.names.length === 0 && !mirrors.wildcard
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
    let sharing: Sharing | undefined
    const isJoined = role === 'server' || config.join !== undefined
    const common = { config, log, metrics }
    const cluster = isJoined
      ? await (await import('./supervisor/node-cluster.ts')).openNodeCluster({
          ...common,
          role,
          clock,
          rng,
          metricsText: () => view.metrics(),
          presence: () => presenceIn(sharing),
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
    const live = () => settings.config()
    const hosts = createHostsKeeper({
      // Containerd hears of another address once it is served.
      config: () => (sharing === undefined ? live() : { ...live(), registry: built.registry }),
      registries: () => settings.registries(),
      log,
      metrics,
    })

    const requests = new RecentRequests()
    let sharingProblem: string | undefined = isEmpty(settings.current().mirrors)
      ? undefined
      : 'sharing is starting'
    let stopping = false
    let turn: Promise<void> = Promise.resolve()

    /** The configuration that the running part was built from. */
    let built = config

    async function follow(wanted: MirrorSet): Promise<void> {
      const next = live()
      const change = sharing === undefined || isEmpty(wanted) ? 'none' : sharingChange(built, next)
      if (change === 'tune') {
        sharing?.tune(next)
        built = next
        log.info({ transfer: next.transfer }, 'transfers that begin from now on have other bounds')
        return
      }
      if (change !== 'none' && registryMoves(built, next)) {
        await sharing?.moveRegistry(next)
        built = { ...built, registry: next.registry }
        log.info(
          { listen: next.registry.listen, oldForMs: next.shutdownGraceMs },
          'the registry API has moved; the old listener goes on for a while',
        )
      }
      if (change === 'registry') {
        sharing?.tune(next)
        built = next
        return
      }
      let kept: HandedOver | undefined
      if (change === 'restart') {
        log.warn(
          {},
          'this change of config.yaml needs a restart of the sharing part; the registry API goes on',
        )
        const ending = sharing
        sharing = undefined
        sharingProblem = 'sharing is restarting with a changed configuration'
        kept = await ending?.release()
        kept?.service.tune(next)
      }
      if (sharing !== undefined && isEmpty(wanted)) {
        const ending = sharing
        sharing = undefined
        await ending.stop()
        log.info({ registries: config.registries }, 'nothing is mirrored any more; all ports are closed')
      } else if (sharing === undefined && !isEmpty(wanted)) {
        const part = await begin({
          role,
          registry: kept,
          peers: () => cluster?.part.peers() ?? [],
          config: next,
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
        })
        built = next
        sharing = part
        sharingProblem = undefined
      }
    }

    /** One change after the other; a failure is kept for `starling status` and tried again. */
    function followSoon(): void {
      turn = turn.then(async () => {
        if (stopping) return
        try {
          await follow(settings.current().mirrors)
          sharingProblem = undefined
        } catch (error) {
          sharingProblem = describeError(error)
          log.error({ problem: sharingProblem, retryInMs: retrySharingMs }, 'sharing could not begin')
          setTimeout(followSoon, retrySharingMs).unref()
        }
      })
    }

    const layers = createLayersWatch(() => live().store)
    const imports = createImagesFolder({
      config: live,
      clock,
      log,
      metrics,
      offered: (reference) => sharing !== undefined && isOffered(reference, sharing.catalog),
    })
    const sources = {
      imports,
      get config() {
        return live()
      },
      hosts,
      layers,
      credentials,
      clock,
      startedMs,
      settings,
      sharing: () => sharing,
      sharingProblem: () => sharingProblem,
      role,
      cluster: cluster?.part,
      clusterProblems: () => cluster?.problems() ?? [],
    }
    const view: NodeView = {
      status: () => statusView(sources),
      peers: () => (sharing === undefined ? [] : peerViews(viewSources(sharing))),
      registries: () => sharing?.catalog.summaries() ?? [],
      images: () => (sharing === undefined ? [] : imageViews(viewSources(sharing))),
      where: (query) => whereView(query, sharing === undefined ? undefined : viewSources(sharing)),
      drainCheck: (node) => drainView(node, sharing === undefined ? undefined : viewSources(sharing)),
      request: (id) => requests.get(id),
      ready: () => readyView(sources),
      metrics() {
        familiar?.advertised(sharing?.catalog.summaries() ?? [])
        return text()
      },
    }

    const ops = createOpsServer({
      view,
      socket: config.ops.socket,
      listen: config.ops.listen,
      credentials,
      admin: { ...cluster?.admin, ...peerActions(() => sharing?.quarantine) },
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
    await follow(settings.current().mirrors)
    closers.push(async () => {
      stopping = true
      await turn
      await sharing?.stop()
    })
    settings.onApplied((next, before) => {
      if (next !== before) void cluster?.configure(next)
      if (next === before) return
      // How tags are answered may have changed, and what lookups answered is kept for a moment.
      sharing?.registry.lookupsChanged()
      followSoon()
      void turn.then(() => hosts.sync())
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

/** Starts a sharing part; where that fails, a registry that it was to take over ends too, and nothing stays open. */
async function begin(options: SharingOptions): Promise<Sharing> {
  try {
    const part = await createSharing(options)
    await part.start()
    return part
  } catch (error) {
    await options.registry?.service.stop()
    throw error
  }
}

function viewSources(sharing: Sharing) {
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
