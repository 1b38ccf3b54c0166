import { forEachBounded } from '../../core/bounded.ts'
import type { NodeConfig } from '../../core/config.ts'
import type { CredentialSet } from '../../core/credentials.ts'
import { StarlingError } from '../../core/errors.ts'
import type { PeerView, StatusView } from '../../core/ops-view.ts'
import { type Endpoint, formatEndpoint, parseHostPort } from '../../core/peer.ts'
import { bindError, connectProblem, probeRegistry } from './probes.ts'
import type { PeerFacts, PortFacts, UdpFacts } from './verdicts.ts'

/** The part of the ops API that the check asks. */
export interface NodeQuestions {
  status(): Promise<StatusView>
  peers(): Promise<readonly PeerView[]>
  metrics(): Promise<string>
}

/** What the running node says of itself. */
export interface NodeAnswers {
  readonly status: StatusView
  readonly peers: readonly PeerView[]
  readonly metrics: string
}

const maxPeers = 64
const concurrency = 8
const there = new Set(['alive', 'suspect', 'stalled'])

/** A text says why no node answers. */
export async function askNode(ops: NodeQuestions): Promise<NodeAnswers | string> {
  try {
    return { status: await ops.status(), peers: await ops.peers(), metrics: await ops.metrics() }
  } catch (error) {
    if (error instanceof StarlingError && error.code === 'OPS_UNAVAILABLE') return error.format()
    throw error
  }
}

/** The ports of a configuration, tried where the running node does not listen there itself. */
export async function portFacts(config: NodeConfig, node: NodeAnswers | undefined): Promise<PortFacts[]> {
  const facts: PortFacts[] = []
  const look = async (endpoint: Endpoint, transport: PortFacts['transport'], own: boolean) => {
    const error = own || endpoint.port === 0 ? undefined : await bindError(endpoint, transport)
    facts.push({ endpoint, transport, own, bindError: error, nodeRuns: node?.status.sharing.active ?? false })
  }
  const listens = (list: readonly string[], endpoint: Endpoint) => list.includes(formatEndpoint(endpoint))
  const { registryListen = [], p2pListen = [], udp = false } = node?.status ?? {}
  for (const endpoint of config.registry.listen)
    await look(endpoint, 'TCP', listens(registryListen, endpoint))
  for (const endpoint of config.p2p.listen) {
    const own = listens(p2pListen, endpoint)
    await look(endpoint, 'TCP', own)
    if (config.p2p.udp) await look(endpoint, 'UDP', own && udp)
  }
  return facts
}

/** The other nodes that should answer, asked on both of their TCP ports. */
export async function peerFacts(
  peers: readonly PeerView[],
  credentials: CredentialSet | undefined,
): Promise<PeerFacts[]> {
  const others = peers.filter(({ self, state }) => !self && there.has(state)).slice(0, maxPeers)
  const facts: PeerFacts[] = []
  await forEachBounded(others, concurrency, async ({ name, state, addresses, registryPort }) => {
    const p2p = parseHostPort(addresses[0] ?? '')
    const p2pProblem = p2p === undefined ? 'it tells no address' : await connectProblem(p2p.host, p2p.port)
    if (p2p === undefined || registryPort === 0 || credentials === undefined) {
      facts.push({ name, state, p2pProblem, registryProblem: undefined, skewMs: undefined })
      return
    }
    const { serverCaPem: ca, client } = credentials
    const target = { host: p2p.host, port: registryPort, name }
    const registry = await probeRegistry(target, { ca, cert: client.certPem, key: client.keyPem })
    facts.push({ name, state, p2pProblem, registryProblem: registry.problem, skewMs: registry.skewMs })
  })
  return facts.sort((a, b) => (a.name < b.name ? -1 : 1))
}

export function udpFacts(config: NodeConfig, { status, peers, metrics }: NodeAnswers): UdpFacts {
  return {
    wanted: config.p2p.udp,
    available: status.udp,
    othersAlive: peers.filter(({ self, state }) => !self && state === 'alive').length,
    received: metricValue(metrics, 'starling_datagrams_received_total'),
    tcpOnly: metricValue(metrics, 'starling_membership_events_total{event="probe-tcp-only"}'),
  }
}

/** The value of one line of the Prometheus text format; 0 where it is not there. */
export function metricValue(text: string, name: string): number {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `))
  return line === undefined ? 0 : Number(line.slice(name.length + 1))
}

/** The bootstrap nodes, connected to. */
export async function bootstrapFacts(config: NodeConfig) {
  const facts: { address: string; problem: string | undefined }[] = []
  await forEachBounded(config.bootstrap.slice(0, maxPeers), concurrency, async ({ host, port }) => {
    facts.push({ address: formatEndpoint({ host, port }), problem: await connectProblem(host, port) })
  })
  return facts.sort((a, b) => (a.address < b.address ? -1 : 1))
}
