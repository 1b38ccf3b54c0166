import type { NodeConfig } from '../../core/config.ts'
import { describeError } from '../../core/errors.ts'
import type { AdminActions } from '../../core/ops-view.ts'
import type { Clock, Logger, Metrics, Rng } from '../../core/ports.ts'
import { ownPassword } from './cluster-memory.ts'
import { type ClusterPart, openClusterPart } from './cluster-part.ts'
import type { PresenceOf } from './conductor.ts'
import { createRemoteLink } from './remote-link.ts'
import type { ServerPart } from './server-part.ts'

export interface NodeClusterOptions {
  readonly config: NodeConfig
  readonly role: 'agent' | 'server'
  readonly clock: Clock
  readonly rng: Rng
  readonly log: Logger
  readonly metrics: Metrics
  readonly metricsText: () => Promise<string>
  /** What membership knows, where the node of this server takes part in it. */
  readonly presence?: PresenceOf
  readonly signal: AbortSignal
}

/** All that a node has to do with servers: it has joined some, and may be one. */
export interface NodeCluster {
  readonly part: ClusterPart
  readonly admin: AdminActions
  problems(): readonly string[]
  /** The configuration file has changed. Never throws. */
  configure(config: NodeConfig): Promise<void>
  /** Closes what has been opened; the last to be stopped, after all that uses it. */
  stop(): Promise<void>
}

/**
 * Starts the server role where the node has it, and joins the cluster where it has not yet. Afterwards the trust files of
 * the configuration are there.
 * @throws StarlingError
 */
export async function openNodeCluster(options: NodeClusterOptions): Promise<NodeCluster> {
  const { config, role, rng, log } = options
  const password = await ownPassword(config.dataDir)
  let server: ServerPart | undefined
  try {
    if (role === 'server') {
      const { openServerPart } = await import('./server-part.ts')
      server = await openServerPart({ ...options, password })
      await server.start()
    }
    const link = server?.link ?? createRemoteLink({ join: joinOf(config), rng, log })
    const part = await openClusterPart({ ...options, password, link })
    return {
      part,
      admin: server?.admin ?? {},
      problems: () => [...part.problems(), ...(server?.problems() ?? [])],
      async configure(next) {
        await server?.configure(next).catch((error) => {
          log.error({ reason: describeError(error) }, 'the settings of this server could not be taken up')
        })
      },
      async stop() {
        await part.stop()
        await server?.stop()
      },
    }
  } catch (error) {
    await server?.stop()
    throw error
  }
}

function joinOf({ join }: NodeConfig): NonNullable<NodeConfig['join']> {
  if (join === undefined) throw new Error('a node without a server to join')
  return join
}
