import { setTimeout as delay } from 'node:timers/promises'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { opsGet } from '../support/cluster/ops-client.ts'
import type { Benchmark } from './benchmark.ts'
import { benchCluster, shareBlob } from './support/bench-cluster.ts'
import { curlTls, download } from './support/curl.ts'
import { cpuSeconds, resetPeak, residentBytes } from './support/process-usage.ts'
import { round } from './support/statistics.ts'

const sizeBytes = 256 * 2 ** 20
const clients = 4

const loopDelay = 'starling_event_loop_delay_seconds'

/** Median, p99 and longest delay of the main thread since the last reading, in milliseconds: all from one reading. */
async function loopDelays(node: ClusterNode): Promise<number[]> {
  const { body } = await opsGet(node.opsSocket, '/api/v1/metrics')
  return ['0.5', '0.99', 'max'].map((quantile) => {
    const line = body.split('\n').find((text) => text.startsWith(`${loopDelay}{quantile="${quantile}"}`))
    if (line === undefined) throw new Error(`${node.name} does not tell the delay of its event loop`)
    return round(Number(line.slice(line.lastIndexOf(' '))) * 1000, 1)
  })
}

/** What the control plane and the memory feel while the data plane does all it can. */
export const saturation: Benchmark = {
  name: 'saturation',
  title: `Two nodes while ${clients} clients pull through one of them without a pause`,
  async run(log, { quick }) {
    const durationMs = quick ? 5_000 : 30_000
    await using cluster = await benchCluster(2)
    const [holder, requester] = [cluster.node(0), cluster.node(1)]
    const nodes = [holder, requester]
    const pidOf = (node: ClusterNode) => node.pid ?? 0
    const blob = await shareBlob(holder, [requester], sizeBytes)
    const url = `${requester.registryUrl}${blob.path}`
    const tls = curlTls(requester.trustDir)
    await download(url, sizeBytes, tls)

    const idle = nodes.map((node) => residentBytes(pidOf(node), 'VmRSS'))
    // The first reading begins the measurement, the next one ends what came before the load.
    for (let turn = 0; turn < 2; turn += 1) {
      await Promise.all(nodes.map((node) => node.metric(loopDelay)))
      await delay(100)
    }
    for (const node of nodes) resetPeak(pidOf(node))
    const cpuBefore = nodes.map((node) => cpuSeconds(pidOf(node)))
    const startedMs = performance.now()
    let pulls = 0
    const client = async () => {
      while (performance.now() - startedMs < durationMs) {
        await download(url, sizeBytes, tls)
        pulls += 1
      }
    }
    await Promise.all(Array.from({ length: clients }, client))
    const seconds = (performance.now() - startedMs) / 1000
    log(`${pulls} pulls in ${seconds.toFixed(1)} s`)
    const delays = await Promise.all(nodes.map(loopDelays))
    const rows = nodes.map((node, index) => [
      index === 0 ? 'holder' : 'proxying node',
      ...(delays[index] ?? []),
      round(residentBytes(pidOf(node), 'VmHWM') / 2 ** 20),
      round((idle[index] ?? 0) / 2 ** 20),
      round((cpuSeconds(pidOf(node)) - (cpuBefore[index] ?? 0)) / seconds),
    ])
    return {
      columns: [
        'node',
        'loop delay p50 ms',
        'p99 ms',
        'longest ms',
        'peak RSS MiB',
        'RSS before MiB',
        'cores used',
      ],
      rows,
      notes: [
        `${pulls} pulls of ${sizeBytes / 2 ** 20} MiB in ${seconds.toFixed(1)} s: ${((pulls * sizeBytes) / 1e9 / seconds).toFixed(2)} GB/s in all. Both nodes and all clients share the processors of this machine.`,
        'The delay is that of the main thread (starling_event_loop_delay_seconds: monitorEventLoopDelay, resolution 5 ms). Peak RSS is VmHWM of the kernel, reset before the load.',
      ],
    }
  },
}
