import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { forEachBounded } from '../../core/bounded.ts'
import type { NodeConfig } from '../../core/config.ts'
import { systemErrorCode } from '../../core/errors.ts'
import { readConfig } from '../config/config-files.ts'
import { serverFolder } from '../supervisor/cluster-store.ts'
import type { NodeAnswers } from './node-facts.ts'
import { bindError, connectProblem } from './probes.ts'
import type { PortFacts, ReachFacts } from './verdicts.ts'

const maxServers = 16
const concurrency = 8

/**
 * The configuration as the node of this machine uses it: its file does not always tell whether it is a server, its data
 * directory does.
 * @throws StarlingError, StarlingErrors CONFIG_INVALID
 */
export async function readCheckedConfig(file: string): Promise<NodeConfig> {
  const config = await readConfig(file)
  if (!(await hasServerFolder(config.dataDir))) return config
  // A node that was a server once may have a file now that no server takes.
  return readConfig(file, 'server').catch(() => config)
}

/** The ports of a server's own API; none of a node that is no server, as it says or as its data directory shows. */
export async function serverPortFacts(
  config: NodeConfig,
  node: Pick<NodeAnswers, 'status'> | undefined,
): Promise<PortFacts[]> {
  const isServer = node === undefined ? await hasServerFolder(config.dataDir) : node.status.role === 'server'
  const facts: PortFacts[] = []
  for (const endpoint of isServer ? (config.supervisor?.listen ?? []) : []) {
    const { host, port } = endpoint
    // To connect to a wildcard address is to connect to this machine.
    const own = node !== undefined && (await connectProblem(host, port)) === undefined
    const error = own || port === 0 ? undefined : await bindError(endpoint, 'TCP')
    facts.push({ endpoint, transport: 'TCP', own, bindError: error, nodeRuns: node !== undefined })
  }
  return facts
}

/**
 * How the servers of a node that joins answer: the one of its configuration, and those that it has learnt of. Undefined
 * for a node that joins none.
 */
export async function serverFacts(config: NodeConfig): Promise<ReachFacts[] | undefined> {
  if (config.join === undefined) return undefined
  const { readClusterMemory } = await import('../supervisor/cluster-memory.ts')
  const { servers } = await readClusterMemory(config.dataDir)
  const urls = new Set([config.join.server, ...servers.flatMap((server) => server.urls)])
  const facts: ReachFacts[] = []
  await forEachBounded([...urls].slice(0, maxServers), concurrency, async (address) => {
    const { hostname, port } = new URL(address)
    const host = hostname.replace(/^\[|\]$/g, '')
    facts.push({ address, problem: await connectProblem(host, Number(port === '' ? 443 : port)) })
  })
  return facts.sort((a, b) => (a.address < b.address ? -1 : 1))
}

async function hasServerFolder(dataDir: string): Promise<boolean> {
  return access(join(dataDir, serverFolder)).then(
    () => true,
    () => false,
  )
}

/** Is there no such file? One that this user may not see counts as there. */
export async function isAbsent(path: string): Promise<boolean> {
  return access(path).then(
    () => false,
    (error: unknown) => systemErrorCode(error) === 'ENOENT',
  )
}
