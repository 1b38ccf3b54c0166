import { setTimeout as delay } from 'node:timers/promises'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import type { Cluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import type { Benchmark } from './benchmark.ts'
import { benchCluster } from './support/bench-cluster.ts'
import { spread } from './support/statistics.ts'

const nodes = 20
const givenUpMs = 60_000
const settleMs = 3_000

/** When a node wrote that it lost another one, after a moment; undefined where it has not yet. Milliseconds since 1970. */
function lostAt(
  viewer: ClusterNode,
  name: string,
  states: readonly string[],
  sinceMs: number,
): number | undefined {
  const line = viewer
    .logs()
    .find(
      ({ msg, name: lost, to, time }) =>
        msg === 'a member is lost' &&
        lost === name &&
        states.includes(String(to)) &&
        Date.parse(time) >= sinceMs,
    )
  return line === undefined ? undefined : Date.parse(line.time)
}

/** Milliseconds after `sinceMs` at which each of the other nodes lost this one. */
async function timesOfLoss(
  cluster: Cluster,
  victim: ClusterNode,
  states: readonly string[],
  sinceMs: number,
): Promise<number[]> {
  const viewers = cluster.nodes.filter((node) => node !== victim)
  const what = `all to know that ${victim.name} is ${states.join(' or ')}`
  const found = await eventually(
    () => {
      const times = viewers.map((viewer) => lostAt(viewer, victim.name, states, sinceMs))
      return times.includes(undefined) ? undefined : times.filter((time) => time !== undefined)
    },
    { timeoutMs: givenUpMs, intervalMs: 200, what },
  )
  return found.map((time) => time - sinceMs)
}

/** How long a cluster takes to know that one of its processes was killed, or stands still. */
export const detection: Benchmark = {
  name: 'detection',
  title: `Membership: a killed and a stopped process among ${nodes}`,
  async run(log, { quick }) {
    const rounds = quick ? 2 : 10
    await using cluster = await benchCluster(nodes)
    const rows: (string | number)[][] = []
    const measure = async (
      what: string,
      states: readonly string[],
      harm: (node: ClusterNode) => unknown,
      heal: (node: ClusterNode) => unknown,
    ) => {
      const all: number[] = []
      const last: number[] = []
      for (let turn = 0; turn < rounds; turn += 1) {
        // The phase of a probe period in which it happens must not be the same each time.
        await delay(settleMs + (turn * 1000) / rounds)
        const victim = cluster.node((turn * 7 + 3) % nodes)
        const sinceMs = Date.now()
        await harm(victim)
        const times = await timesOfLoss(cluster, victim, states, sinceMs)
        all.push(...times)
        last.push(Math.max(...times))
        log(`${what}: ${victim.name}, first ${Math.min(...times)} ms, last ${Math.max(...times)} ms`)
        await heal(victim)
        await cluster.waitWhole(undefined, givenUpMs)
      }
      rows.push([`${what}, any node`, ...spread(all)])
      rows.push([`${what}, the last node`, ...spread(last)])
    }
    await measure(
      'killed (SIGKILL) → dead',
      ['dead'],
      (node) => node.kill(),
      (node) => node.start(),
    )
    await measure(
      'stopped (SIGSTOP) → stalled, no candidate',
      ['stalled', 'dead'],
      (node) => node.pause(),
      (node) => node.resume(),
    )
    return {
      columns: ['what', 'median ms', 'p99 ms', 'longest ms'],
      rows,
      notes: [
        `${rounds} rounds each, another node each time; real processes of built JavaScript on loopback.`,
        'From the signal to the time that each node wrote into its own log (milliseconds, one clock).',
      ],
    }
  },
}
