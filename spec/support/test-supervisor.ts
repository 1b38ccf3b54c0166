import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeNodeKeys, type NodeKeys } from '../../lib/app/supervisor/joined-folder.ts'
import { proveKeys } from '../../lib/app/supervisor/key-request.ts'
import { openServerPart, type ServerPart } from '../../lib/app/supervisor/server-part.ts'
import { createSystemRng, systemClock } from '../../lib/app/system.ts'
import { parseConfig } from '../../lib/config/config-file.ts'
import type { Clock, Metrics } from '../../lib/core/ports.ts'
import type { JoinAnswer, JoinRequest } from '../../lib/supervisor/api.ts'
import { createSupervisorClient, type SupervisorClient } from '../../lib/supervisor/client.ts'
import type { ClusterState } from '../../lib/trust/cluster-state.ts'
import { parseJoinToken, tokenSecret } from '../../lib/trust/join-token.ts'
import { loopbackNetwork } from './cluster/network.ts'
import { recordingLog } from './fake-cluster.ts'
import { tempFolder } from './temp-folder.ts'

/** Counts what is counted, by name and labels. */
export function countingMetrics(): Metrics & { total(name: string, label?: string): number } {
  const counts = new Map<string, number>()
  return {
    count(name, labels = {}, amount = 1) {
      const key = `${name} ${JSON.stringify(labels)}`
      counts.set(key, (counts.get(key) ?? 0) + amount)
    },
    observe() {},
    set() {},
    total: (name, label = '') =>
      [...counts]
        .filter(([key]) => key.startsWith(`${name} `) && key.includes(label))
        .reduce((sum, [, value]) => sum + value, 0),
  }
}

/** The machine's clock, which can be moved. */
export function movableClock(): Clock & { move(ms: number): void } {
  let offsetMs = 0
  return {
    monotonicMs: () => systemClock.monotonicMs() + offsetMs,
    wallMs: () => systemClock.wallMs() + offsetMs,
    move(ms) {
      offsetMs += ms
    },
  }
}

export interface TestServer extends AsyncDisposable {
  readonly part: ServerPart
  readonly url: string
  readonly address: string
  readonly dataDir: string
  readonly clock: ReturnType<typeof movableClock>
  readonly log: ReturnType<typeof recordingLog>
  readonly metrics: ReturnType<typeof countingMetrics>
  /** The first token for nodes, as the file has it. */
  readonly nodeToken: string
  readonly serverToken: string
  /** As it is on the disk. */
  state(): Promise<ClusterState>
  /** PEM of the server CA. */
  caPem(): Promise<string>
  /** Somebody without a certificate, who believes this server. */
  stranger(): Promise<SupervisorClient>
}

export interface TestServerOptions {
  readonly name?: string
  /** `supervisor.names` */
  readonly names?: readonly string[]
  /** More lines of config.yaml. */
  readonly config?: string
  readonly dataDir?: string
}

/** A server of its own in this process, on a loopback address of its own. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const { name = 'server-1', names = [], config: more = '' } = options
  await using undo = new AsyncDisposableStack()
  const dataDir = options.dataDir ?? join(undo.use(await tempFolder('sv')).path, 'data')
  const address = loopbackNetwork().addressOf(0)
  const text = `node: {name: ${name}}\ndataDir: ${dataDir}\nsupervisor: {listen: '${address}:9345', names: [${names}]}\n${more}`
  const config = parseConfig(text, '/x/config.yaml', { hostname: name, role: 'server' })
  const clock = movableClock()
  const log = recordingLog()
  const metrics = countingMetrics()
  const part = await openServerPart({
    config,
    password: randomBytes(32).toString('hex'),
    clock,
    rng: createSystemRng(),
    log,
    metrics,
    metricsText: async () => 'starling_members 1\n',
    signal: new AbortController().signal,
  })
  await part.start()
  undo.defer(() => part.stop())
  const read = (file: string) => readFile(join(dataDir, 'server', file), 'utf8')
  const state = async () => JSON.parse(await read('state.json')) as ClusterState
  const caPem = async () => (await state()).authority.serverCaPem
  const url = `https://${address}:9345`
  const cleanup = undo.move()
  return {
    part,
    url,
    address,
    dataDir,
    clock,
    log,
    metrics,
    nodeToken: (await read('node-token').catch(() => '')).trim(),
    serverToken: (await read('server-token').catch(() => '')).trim(),
    state,
    caPem,
    stranger: async () => createSupervisorClient({ url, anchors: [await caPem()] }),
    [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
  }
}

/** A whole join request of a new node; `change` has the last word. */
export async function joinRequest(
  token: string,
  change: Partial<JoinRequest> & { keys?: NodeKeys } = {},
): Promise<JoinRequest> {
  const { keys = makeNodeKeys(), name = 'node-1', ...rest } = change
  return {
    name,
    token: tokenSecret(parseJoinToken(token)),
    password: randomBytes(32).toString('hex'),
    addresses: [],
    p2p: [],
    ...(await proveKeys(keys, name)),
    ...rest,
  }
}

/** A node that has joined, with a client that shows its certificate. */
export async function joinTestNode(
  server: TestServer,
  name: string,
): Promise<{ answer: JoinAnswer; keys: NodeKeys; request: JoinRequest; client: SupervisorClient }> {
  const keys = makeNodeKeys()
  const request = await joinRequest(server.nodeToken, { name, keys })
  const stranger = await server.stranger()
  const answer = await stranger.call<JoinAnswer>('POST', '/v1/join', { body: request })
  stranger.close()
  const client = createSupervisorClient({
    url: server.url,
    anchors: [answer.view.serverCaPem],
    client: { certPem: answer.clientCertificate, keyPem: keys.clientKeyPem },
  })
  return { answer, keys, request, client }
}
