import { randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import type { BlobSource } from '../../core/content-store.ts'
import type { CredentialSet, Credentials } from '../../core/credentials.ts'
import { StarlingError } from '../../core/errors.ts'
import type { RegistryControl } from '../../core/lookup.ts'
import { type Endpoint, formatEndpoint } from '../../core/peer.ts'
import type { Logger, Metrics, Service } from '../../core/ports.ts'
import { bindAddress, needsIpv6Only } from '../../registry/bind-address.ts'
import { createPassingMemory } from '../../registry/flights/passing-bytes.ts'
import {
  defaultRegistryLimits,
  type RegistryCredentials,
  type RegistryLimits,
  type RegistryTuning,
} from '../../registry/messages.ts'
import { createFlowMemory } from '../../registry/shared-flow.ts'
import { RegistryThread } from './thread.ts'

export interface RegistryHostOptions {
  readonly listen: readonly Endpoint[]
  /** Where this process serves already: the same port can be served there too, and threads start one by one beside those at work. */
  readonly held?: readonly Endpoint[]
  /** Threads that share the port. */
  readonly workers: number
  readonly credentials: Credentials
  readonly source: BlobSource
  readonly control: RegistryControl
  /** Folder of the chunk maps; undefined where local content is not checked as it leaves. */
  readonly mapsPath?: string | undefined
  /**
   * Bounds of the whole node: connections, reads and memory are shared out to the workers, and what goes to peers or comes from
   * them is counted by all of them together.
   */
  readonly limits?: Partial<RegistryLimits>
  /** How long transfers in flight may go on after `stop` without a time of its own. */
  readonly graceMs: number
  readonly log: Logger
  readonly metrics: Metrics
}

export interface RegistryHost extends Service {
  /** Listens no more; transfers in flight get `graceMs`. Once more with less shortens that. */
  stop(graceMs?: number): Promise<void>
  /** Where it listens; empty before `start`. */
  addresses(): Endpoint[]
  /** The content store is somewhere else from now on. */
  setSource(source: BlobSource): void
  /** Other bounds for what begins from now on. */
  tune(tuning: RegistryTuning): void
  /** What lookups answered may not hold any more. */
  lookupsChanged(): void
  /** Another one answers from now on: connections end with their next answer, so that who asks again comes to it. */
  retire(): void
}

const firstRestartMs = 100
const maxRestartMs = 5000
const memoryIntervalMs = 15_000
/** A worker that ran this long before it crashed is replaced at once again. */
const stableMs = 60_000

/**
 * The main thread's side of the registry: starts the workers, answers their questions through `control`, gives them
 * new credentials, and replaces those that crash. `start` fails with PORT_IN_USE where the port is taken.
 */
export function createRegistryHost(options: RegistryHostOptions): RegistryHost {
  const { credentials, control, log, metrics } = options
  const uploads = createFlowMemory(options.workers)
  const downloads = createFlowMemory(options.workers)
  const passing = createPassingMemory()
  let limits = shareOut({ ...defaultRegistryLimits, ...options.limits }, options.workers)
  const threads = new Map<number, RegistryThread>()
  const restarts = new Map<number, NodeJS.Timeout>()
  let bound: Endpoint[] = []
  let source = options.source
  let current: RegistryCredentials
  let telling = false
  let unsubscribe = (): void => {}
  let stopping = false
  let memoryTimer: NodeJS.Timeout | undefined

  function startThread(index: number, delayMs = firstRestartMs): Promise<void> {
    const startedMs = performance.now()
    const thread = new RegistryThread(
      {
        listen: bound,
        credentials: current,
        source,
        limits,
        mapsPath: options.mapsPath,
        index,
        uploads,
        downloads,
        passing,
      },
      {
        control,
        log: log.child({ worker: index }),
        metrics,
        onExit(reason) {
          threads.delete(index)
          if (stopping) return
          const wait = performance.now() - startedMs >= stableMs ? firstRestartMs : delayMs
          metrics.count('starling_registry_workers_replaced_total')
          log.error({ worker: index, reason, restartInMs: wait }, 'a registry worker ended; it is replaced')
          const again = (): void => {
            restarts.delete(index)
            startThread(index, Math.min(wait * 2, maxRestartMs)).catch(() => {})
          }
          restarts.set(index, setTimeout(again, wait))
        },
      },
    )
    threads.set(index, thread)
    return thread.listening
  }

  async function startThreads(): Promise<void> {
    const indices = Array.from({ length: options.workers }, (_, index) => index)
    if (options.held === undefined) await Promise.all(indices.map((index) => startThread(index)))
    // Loading the program takes a processor each; those that answer meanwhile need one.
    else for (const index of indices) if (!stopping) await startThread(index)
  }

  async function reportMemory(): Promise<void> {
    for (const [index, thread] of threads) {
      const memory = await thread.memory()
      if (memory === undefined) continue
      const worker = String(index)
      metrics.set('starling_registry_worker_heap_bytes', memory.heap, { worker })
      metrics.set('starling_registry_worker_external_bytes', memory.external, { worker })
    }
  }

  function onCredentials(set: CredentialSet): void {
    current = registryPart(set)
    for (const thread of threads.values()) thread.send({ type: 'credentials', credentials: current })
    log.info({}, 'the registry uses new credentials')
  }

  async function stop(graceMs = options.graceMs): Promise<void> {
    stopping = true
    clearInterval(memoryTimer)
    for (const timer of restarts.values()) clearTimeout(timer)
    restarts.clear()
    await Promise.all([...threads.values()].map((thread) => thread.stop(graceMs)))
    unsubscribe()
    bound = []
  }

  return {
    async start() {
      current = registryPart(credentials.current())
      bound = await reservePorts(options.listen, options.held ?? [])
      unsubscribe = credentials.subscribe(onCredentials)
      try {
        await startThreads()
      } catch (error) {
        await stop()
        throw error
      }
      void reportMemory()
      memoryTimer = setInterval(() => void reportMemory(), memoryIntervalMs).unref()
      log.info({ listen: bound.map(formatEndpoint), workers: options.workers }, 'the registry API is served')
    },
    stop,
    addresses: () => [...bound],
    retire() {
      for (const thread of threads.values()) thread.send({ type: 'retire' })
    },
    lookupsChanged() {
      if (telling) return
      telling = true
      // Changes come in bursts: one message for all of them.
      setImmediate(() => {
        telling = false
        for (const thread of threads.values()) thread.send({ type: 'lookups-changed' })
      })
    },
    tune(tuning) {
      limits = { ...limits, ...tuning }
      for (const thread of threads.values()) thread.send({ type: 'tune', tuning })
    },
    setSource(next) {
      source = next
      for (const thread of threads.values()) thread.send({ type: 'source', source })
    },
  }
}

/** A fresh ticket key for each set of credentials: a session of an older set is not resumed. */
function registryPart(set: CredentialSet): RegistryCredentials {
  const { nodeName, serverCaPem, clientCaPem, serving, client, revocations = [] } = set
  return {
    nodeName,
    serverCaPem,
    clientCaPem,
    revocations,
    serving,
    client,
    ticketKeys: randomBytes(48),
  }
}

/**
 * Libuv's thread pool is one for the process and must keep a thread free for others (DESIGN §1).
 */
function shareOut(limits: RegistryLimits, workers: number): RegistryLimits {
  const poolSize = Number(process.env.UV_THREADPOOL_SIZE ?? '') || 4
  const share = (amount: number): number => Math.max(1, Math.floor(amount / workers))
  return {
    ...limits,
    maxConnections: share(limits.maxConnections),
    maxPeerConnections: share(limits.maxPeerConnections),
    transferMemoryBytes: share(limits.transferMemoryBytes),
    maxReads: share(Math.min(limits.maxReads, poolSize - 1)),
  }
}

/**
 * Binds each address once without `reusePort`, so that a port which anybody else has, another Starling included, is an error
 * and not shared in silence; those that this process holds are left to `reusePort`. Port 0 becomes the port that the machine gave.
 * @throws StarlingError PORT_IN_USE
 */
async function reservePorts(endpoints: readonly Endpoint[], held: readonly Endpoint[]): Promise<Endpoint[]> {
  if (endpoints.length === 0) {
    throw new StarlingError('CONFIG_INVALID', 'the registry has no address to listen on')
  }
  const servers = endpoints.map(() => createServer())
  try {
    const bound: Endpoint[] = []
    for (const [index, endpoint] of endpoints.entries()) {
      if (held.some(({ port }) => port === endpoint.port)) {
        bound.push(endpoint)
        continue
      }
      const server = servers[index] as (typeof servers)[number]
      const ipv6Only = needsIpv6Only(endpoint, endpoints)
      bound.push(await bindAddress(server, endpoint, { reusePort: false, ipv6Only }))
    }
    return bound
  } finally {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  }
}
