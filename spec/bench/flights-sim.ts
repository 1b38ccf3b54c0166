import { Swarm, swarmFigures } from '../sim/flights/swarm.ts'
import type { Benchmark, Table } from './benchmark.ts'
import { median, round } from './support/statistics.ts'

const mib = 2 ** 20
/** 200 and 100 Mbit/s. */
const linkRate = 25_000_000
const upstreamRate = 12_500_000

/** Twenty nodes that want a layer of 3.1 MiB, one of four that share the links, and get no processor now and then. */
function busyNodes(log: (line: string) => void, seeds: number): Table {
  const sizeBytes = 3.1 * mib
  const [upstreamShare, linkShare] = [upstreamRate / 32, linkRate / 32]
  const rows = [0, 200, 500, 1000, 2000].map((pauseMs) => {
    const runs = Array.from({ length: seeds }, (_, seed) => {
      const rates = { upstreamRate: upstreamShare, linkRate: linkShare }
      const swarm = new Swarm({ nodes: 20, sizeBytes, ...rates, pauseMs, spreadMs: 1000, seed })
      swarm.run(600_000)
      return swarmFigures(swarm, sizeBytes)
    })
    const copies = runs.map((run) => run.copies)
    const row = [
      pauseMs,
      round(sizeBytes / upstreamShare),
      round(median(runs.map(({ makespanMs }) => makespanMs / 1000))),
      round(copies.reduce((sum, some) => sum + some, 0) / seeds),
      round(Math.max(...copies)),
    ]
    log(`pauses of up to ${pauseMs} ms: ${row.join(' ')}`)
    return row
  })
  return {
    part: 'twenty nodes without enough processors',
    columns: ['pauses up to ms', 'ideal s', 'all done s, median', 'copies, mean', 'most copies'],
    rows,
    notes: [
      `${round(sizeBytes / mib, 1)} MiB, links of 6.25 Mbit/s, upstream of 3.1 Mbit/s; each node gets no processor half of all time; ${seeds} seeds.`,
    ],
  }
}

/** A new image on many nodes, in the simulator: the real planners, messages and timers, links as flows. */
export const flightsSim: Benchmark = {
  name: 'flights-sim',
  title: 'A new blob of 200 MiB wanted by all nodes within a second, simulated',
  async run(log, { quick }) {
    const sizeBytes = 200 * mib
    const rows = (quick ? [8, 20, 100, 1000] : [8, 20, 100, 1000, 10_000]).map((nodes) => {
      const tickMs = nodes >= 10_000 ? 100 : 50
      const swarm = new Swarm({ nodes, sizeBytes, upstreamRate, linkRate, seed: 1, spreadMs: 1000, tickMs })
      swarm.run(600_000)
      const figures = swarmFigures(swarm, sizeBytes)
      log(`${nodes} nodes: ${JSON.stringify(figures)}`)
      const seconds = figures.makespanMs / 1000
      return [
        nodes,
        round(sizeBytes / upstreamRate),
        round(seconds),
        round(figures.copies),
        figures.depth,
        round(figures.messagesPerNode),
        figures.mostMessages,
      ]
    })
    const columns = ['nodes', 'ideal s', 'all done s', 'copies', 'depth', 'messages a node', 'of the steward']
    const crowd = {
      columns,
      rows,
      notes: ['Links of 200 Mbit/s, upstream of 100 Mbit/s; downloads show in steps of 1 MiB.'],
    }
    return [crowd, busyNodes(log, quick ? 10 : 100)]
  },
}
