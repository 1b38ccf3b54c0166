import { setTimeout as delay } from 'node:timers/promises'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import type { Benchmark } from './benchmark.ts'
import { benchCluster, shareBlob } from './support/bench-cluster.ts'
import { cpuSeconds, residentBytes } from './support/process-usage.ts'
import { median, round } from './support/statistics.ts'

const nodes = 20

/** Rows of the table: what, its metric, its labels. */
const memoryMetrics: readonly (readonly [string, string])[] = [
  ['heap in use, main thread', 'nodejs_heap_size_used_bytes'],
  ['external, main thread', 'nodejs_external_memory_bytes'],
  ['heap in use, registry worker', 'starling_registry_worker_heap_bytes'],
  ['external, registry worker', 'starling_registry_worker_external_bytes'],
]

/** What a node costs a machine on which nothing happens. */
export const idle: Benchmark = {
  name: 'idle',
  title: `Memory and processor time of an idle node among ${nodes}`,
  async run(log, { quick }) {
    const settleMs = quick ? 5_000 : 60_000
    const watchMs = quick ? 20_000 : 120_000
    await using cluster = await benchCluster(nodes)
    const pidOf = (node: ClusterNode) => node.pid ?? 0
    await shareBlob(cluster.node(0), cluster.nodes.slice(1), 1000)
    log(`${nodes} nodes run; they settle for ${settleMs / 1000} s and are watched for ${watchMs / 1000} s`)
    await delay(settleMs)
    const before = cluster.nodes.map((node) => cpuSeconds(pidOf(node)))
    const startedMs = performance.now()
    await delay(watchMs)
    const seconds = (performance.now() - startedMs) / 1000
    const cpu = cluster.nodes.map(
      (node, index) => ((cpuSeconds(pidOf(node)) - (before[index] ?? 0)) / seconds) * 100,
    )
    const resident = cluster.nodes.map((node) => residentBytes(pidOf(node), 'VmRSS') / 2 ** 20)
    const row = (what: string, values: readonly number[], unit: string, digits: number) => [
      what,
      round(median(values), digits),
      round(Math.min(...values), digits),
      round(Math.max(...values), digits),
      unit,
    ]
    const rows = [
      row('processor, all threads', cpu, '% of a core', 2),
      row('resident memory', resident, 'MiB', 0),
    ]
    for (const [what, name] of memoryMetrics) {
      const values = await Promise.all(cluster.nodes.map((node) => node.metric(name)))
      const mebibytes = values.map((bytes) => (bytes ?? Number.NaN) / 2 ** 20)
      rows.push(row(what, mebibytes, 'MiB', 1))
    }
    return {
      columns: ['what', 'median', 'least', 'most', 'unit'],
      rows,
      notes: [
        `${nodes} processes of built JavaScript on loopback with one image; ${settleMs / 1000} s after the last one knew of it, watched for ${watchMs / 1000} s without a request. Median, least and most over the nodes.`,
        'Processor: user and system time of all threads (/proc/PID/stat). Resident: VmRSS, which counts pages that the processes share. The rest: the metrics of the nodes themselves.',
      ],
    }
  },
}
