import { fitCosts, modelCounts, modelSpread } from '../sim/gossip/fit.ts'
import type { Observation } from '../sim/gossip/observation.ts'
import { RealOverlay } from '../sim/gossip/real-overlay.ts'
import type { Benchmark } from './benchmark.ts'

const sizes = [20, 10, 40]
const seed = 7
/** As the model waits. */
const quietMs = 4_500
const smallBytes = 1024
const largeBytes = 4096

/** Real gossipsub against its model: fitted to the first observation, compared with all. */
export const gossip: Benchmark = {
  name: 'gossip',
  title: `Gossipsub on ${sizes.join(', ')} nodes in one process, and its model`,
  async run(log, { quick }) {
    await using stack = new AsyncDisposableStack()
    const overlays: RealOverlay[] = []
    for (const size of sizes) {
      overlays.push(stack.use(await RealOverlay.start(size, seed)))
      log(`${size} nodes are connected`)
    }
    const messages = quick ? 10 : 25
    // What runs for the first time is compiled meanwhile.
    await RealOverlay.play(overlays, { messages: 5, sizeBytes: largeBytes, gapMs: 20, quietMs, seed })
    const observations: Observation[] = []
    for (const sizeBytes of [smallBytes, largeBytes]) {
      observations.push(
        ...(await RealOverlay.play(overlays, { messages, sizeBytes, gapMs: 60, quietMs, seed })),
      )
      log(`${messages} messages of ${sizeBytes} bytes in each`)
    }
    const costs = fitCosts(observations[0]!)
    const rows = observations.map((observed) => {
      const [measured, modelled] = [observed.spread, modelSpread(observed, costs)]
      const pairs = (['first', 'half', 'most', 'all'] as const).map(
        (point) => `${measured[point].toFixed(1)} / ${modelled[point].toFixed(1)}`,
      )
      const { copies } = modelCounts(observed, costs)
      return [
        observed.nodes,
        observed.sizeBytes,
        ...pairs,
        `${observed.counts.copies} / ${copies.toFixed(0)}`,
      ]
    })
    return {
      columns: ['nodes', 'bytes', 'first ms', 'half ms', '90 % ms', 'all ms', 'copies'],
      rows,
      notes: [
        'Medians over the messages, measured / modelled; the model is fitted to the first row. What the process waits for a core, because others have it, is left out.',
        `Milliseconds of a core: ${JSON.stringify(costs)}`,
      ],
    }
  },
}
