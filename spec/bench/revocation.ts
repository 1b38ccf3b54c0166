import { setTimeout as delay } from 'node:timers/promises'
import { builtBin } from '../support/built.ts'
import { createJoinedNodes, firstToken, type JoinedNodes } from '../support/cluster/joined-nodes.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { refusedSinceMs, revocationTimes } from '../support/cluster/revocation-times.ts'
import { waitState } from '../support/cluster/views.ts'
import { eventually } from '../support/eventually.ts'
import type { Benchmark } from './benchmark.ts'
import { residentBytes } from './support/process-usage.ts'
import { round, spread } from './support/statistics.ts'

const nodes = 20
const perBatch = 5

async function startAll(names: readonly string[], log: (line: string) => void): Promise<JoinedNodes> {
  await using undo = new AsyncDisposableStack()
  const joined = undo.use(await createJoinedNodes({ bin: await builtBin() }))
  const server = await joined.add('server-1', { role: 'server', config: { 'embedded-registry': true } })
  await server.start()
  const token = await firstToken(server, 'node')
  const agents: ClusterNode[] = []
  for (const name of names) agents.push(await joined.add(name, { through: { server, token } }))
  for (let at = 0; at < agents.length; at += perBatch) {
    await Promise.all(agents.slice(at, at + perBatch).map((agent) => agent.start(120_000)))
  }
  log('all have joined')
  await waitState(joined.nodes, joined.nodes, 'alive', 120_000)
  undo.move()
  return joined
}

/** From `starling node revoke` to the last node that refuses. */
export const revocation: Benchmark = {
  name: 'revocation',
  title: `From a revocation on a server to its refusal by each of ${nodes} nodes`,
  async run(log, { quick }) {
    const rounds = quick ? 3 : 12
    const names = Array.from({ length: nodes - 1 }, (_, index) => `node-${index + 1}`)
    await using joined = await startAll(names, log)
    const [server, ...agents] = joined.nodes as [ClusterNode, ...ClusterNode[]]
    const settleMs = quick ? 5_000 : 60_000
    await delay(settleMs)
    const memory = (node: ClusterNode) => round(residentBytes(node.pid ?? 0, 'VmRSS') / 2 ** 20, 0)
    const [serverMemory, agentMemory] = [memory(server), agents.map(memory)]
    const away = agents.pop() as ClusterNode
    const each: number[] = []
    const last: number[] = []
    await away.stop()
    for (let round = 0; round < rounds; round++) {
      const out = agents.pop() as ClusterNode
      const times = await revocationTimes(server, out, [server, ...agents])
      each.push(...times)
      last.push(Math.max(...times))
      log(`${out.name}: last ${Math.max(...times)} ms`)
    }
    const startedMs = Date.now()
    await away.start(60_000)
    await eventually(() => refusedSinceMs(away, `node-${nodes - 2}`) !== undefined, {
      timeoutMs: 60_000,
      what: 'the node that was away to know the first that was revoked',
    })
    const backMs = (refusedSinceMs(away, `node-${nodes - 2}`) as number) - startedMs
    return {
      columns: ['what', 'median', 'p99', 'most', 'unit'],
      rows: [
        ['refused by a node', ...spread(each), 'ms'],
        ['refused by the last node', ...spread(last), 'ms'],
        ['a node that was away, from its start', backMs, backMs, backMs, 'ms'],
        ['resident memory of the server', serverMemory, serverMemory, serverMemory, 'MiB'],
        ['resident memory of an agent', ...spread(agentMemory), 'MiB'],
      ],
      notes: [
        `One server and ${nodes - 1} agents, processes of built JavaScript on loopback; ${rounds} of them revoked one after the other, one is away meanwhile. From the request on the server to the line in each node's log; afterwards each of them is asked with the certificate of who is out (403) and for its state.`,
        `Memory: VmRSS, ${settleMs / 1000} s after all had joined.`,
      ],
    }
  },
}
