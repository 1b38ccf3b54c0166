import { Swarm, swarmFigures } from '../sim/flights/swarm.ts'
import type { Benchmark } from './benchmark.ts'
import { round } from './support/statistics.ts'

const mib = 2 ** 20
/** 200 and 100 Mbit/s. */
const linkRate = 25_000_000
const upstreamRate = 12_500_000

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
    return {
      columns,
      rows,
      notes: ['Links of 200 Mbit/s, upstream of 100 Mbit/s; downloads show in steps of 1 MiB.'],
    }
  },
}
