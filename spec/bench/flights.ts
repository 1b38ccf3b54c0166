import { type Lab, registry, startLab } from '../integration/containerd-lab.ts'
import { namespaceNetwork } from '../support/cluster/namespaces.ts'
import { buildImage } from '../support/oci-image.ts'
import type { Benchmark } from './benchmark.ts'
import { cpuSeconds, residentBytes } from './support/process-usage.ts'
import { median, quantile, round } from './support/statistics.ts'

const mib = 2 ** 20
/** 200 and 100 Mbit/s. */
const linkRate = 25_000_000
const upstreamRate = 12_500_000

interface Shape {
  readonly nodes: number
  readonly layers: readonly number[]
  readonly holders: number
  readonly flights: boolean
}

interface Run {
  readonly makespan: number
  readonly p50: number
  readonly copies: number
  readonly cpu: number
  readonly memory: number
}

/** What links alone allow: upstream once, or a holder's uplink once. */
function idealSeconds({ layers, holders }: Shape): number {
  const sizeBytes = layers.reduce((sum, size) => sum + size, 0)
  return sizeBytes / (holders > 0 ? linkRate : upstreamRate)
}

let images = 0

async function runOnce(lab: Lab, shape: Shape): Promise<Run> {
  const target = `bench/new:${++images}`
  const image = await buildImage({
    seed: `${target} ${process.pid}`,
    layers: shape.layers.map((sizeBytes) => ({ sizeBytes })),
  })
  await lab.push(target, image)
  const name = `${registry}/${target}`
  for (let index = 0; index < shape.holders; index++) await lab.node(index).containerd.pull(name)
  const pids = lab.nodes.flatMap(({ starling }) => starling.pid ?? [])
  const before = pids.map(cpuSeconds)
  lab.upstream.forget()
  const startedMs = performance.now()
  const pulls = lab.nodes.slice(shape.holders).map(async ({ containerd }) => {
    await containerd.pull(name)
    return (performance.now() - startedMs) / 1000
  })
  const seconds = await Promise.all(pulls)
  const sizeBytes = [...image.blobs.values()].reduce((sum, { descriptor }) => sum + descriptor.size, 0)
  const sent = lab.upstream.requests().reduce((sum, { bytes }) => sum + bytes, 0)
  for (const { containerd } of lab.nodes) await containerd.ctr('images', 'rm', '--sync', name)
  return {
    makespan: Math.max(...seconds),
    p50: quantile(seconds, 0.5),
    copies: sent / sizeBytes,
    cpu: Math.max(...pids.map((pid, index) => cpuSeconds(pid) - (before[index] ?? 0))),
    memory: Math.max(...pids.map((pid) => residentBytes(pid, 'VmHWM'))) / mib,
  }
}

/** A new image that nodes with slow links, and containerds, pull from a slow upstream at once; with flights and without. */
export const flights: Benchmark = {
  name: 'flights',
  title: 'A new image pulled by all nodes at once: links of 200 Mbit/s, upstream of 100 Mbit/s',
  parts: ['new-on', 'held-on', 'new-off', 'held-off'],
  async run(log, { quick, parts }) {
    const nodes = quick ? 4 : 8
    const scale = quick ? 8 : 1
    const rounds = quick ? 1 : 3
    const layers = { one: [(200 / scale) * mib], four: Array(4).fill((25 / scale) * mib) as number[] }
    const rows: (string | number)[][] = []
    for (const on of [true, false]) {
      const wanted = [0, 1].filter((holders) => {
        const part = `${holders === 0 ? 'new' : 'held'}-${on ? 'on' : 'off'}`
        return parts === undefined || parts.length === 0 || parts.includes(part)
      })
      if (wanted.length === 0) continue
      await using network = await namespaceNetwork(nodes, { rate: '200mbit' })
      const configure = (config: Readonly<Record<string, unknown>>) => ({ ...config, flights: on })
      await using lab = await startLab({ nodes, network, bytesPerSecond: upstreamRate, configure })
      for (const holders of wanted) {
        for (const sizes of [layers.one, layers.four]) {
          const shape: Shape = { nodes, layers: sizes, holders, flights: on }
          const runs: Run[] = []
          for (let round = 0; round < rounds; round++) {
            runs.push(await runOnce(lab, shape))
            log(`flights ${on ? 'on' : 'off'}, ${holders} holders: ${JSON.stringify(runs.at(-1))}`)
          }
          const of = (pick: (run: Run) => number) => round(median(runs.map(pick)))
          const ideal = idealSeconds(shape)
          rows.push([
            `${sizes.length} × ${(sizes[0] ?? 0) / mib} MiB, ${holders === 0 ? 'nobody has it' : 'one has it'}`,
            on ? 'on' : 'off',
            round(ideal),
            of(({ makespan }) => makespan),
            round(of(({ makespan }) => makespan) / ideal),
            of(({ p50 }) => p50),
            of(({ copies }) => copies),
            of(({ cpu }) => cpu),
            of(({ memory }) => memory),
          ])
        }
      }
    }
    return {
      columns: [
        'image',
        'flights',
        'ideal s',
        'all done s',
        '÷ ideal',
        'p50 s',
        'copies from upstream',
        'CPU s of the busiest node',
        'its memory MiB',
      ],
      rows,
      notes: [
        `${nodes} network namespaces with a token bucket of 200 Mbit/s each way, real containerds (ctr images pull), docker-registry behind a proxy of 100 Mbit/s; medians of ${rounds}.`,
        'All nodes share the processors of one machine; the ideal counts the links alone.',
      ],
    }
  },
}
