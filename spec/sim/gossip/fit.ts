import type { GossipCosts } from './costs.ts'
import { type GossipCounts, noCounts } from './gossip-counts.ts'
import { playModel } from './model.ts'
import { type Observation, type Spread, spreadOf } from './observation.ts'

/**
 * Where the search begins, and what it leaves alone: heartbeats, which the delays hardly depend on; what a KiB costs to be
 * encrypted twice and hashed (AES-CTR, AES-GCM, SHA-256, and copied between them), as those alone show; and the way over
 * loopback, which is no work.
 */
const start: GossipCosts = {
  publishMs: 0.5,
  sendMs: 0.08,
  receiveMs: 0.1,
  joinedMs: 0.02,
  firstMs: 0.05,
  heartbeatMs: 0.2,
  kibibyteMs: 0.003,
  hopMs: 0.05,
}
const seeds = [1, 2, 3]
const factors = [1.6, 1.25, 1.1, 1.04]

/** Medians over the seeds of what is drawn, on the connections of the observation. */
export function modelSpread(observed: Observation, costs: GossipCosts): Spread {
  const delays = seeds.flatMap((seed) => playModel(observed, costs, seed).delays)
  return spreadOf(delays)
}

/** Counts of the model, means over the seeds; they hardly depend on the costs. */
export function modelCounts(observed: Observation, costs: GossipCosts = start): GossipCounts {
  const mean = noCounts()
  for (const seed of seeds) {
    const { counts } = playModel(observed, costs, seed)
    for (const kind of Object.keys(mean) as (keyof GossipCounts)[]) mean[kind] += counts[kind] / seeds.length
  }
  return mean
}

/** How far the model is from what was measured: the sum of the squared logarithms of the quotients. */
function distance(observed: Observation, costs: GossipCosts): number {
  const measured = observed.spread
  const modelled = modelSpread(observed, costs)
  const points = ['first', 'half', 'most', 'all'] as const
  return points.reduce((sum, point) => sum + Math.log(modelled[point] / measured[point]) ** 2, 0)
}

/** The costs with which the model comes closest to the delays of one observation, by a search along each of them. */
export function fitCosts(observed: Observation): GossipCosts {
  let best = start
  let least = distance(observed, best)
  for (const factor of factors) {
    for (let isBetter = true; isBetter; ) {
      isBetter = false
      for (const change of [factor, 1 / factor]) {
        for (const candidate of steps(best, change)) {
          const value = distance(observed, candidate)
          if (value >= least * 0.999) continue
          best = candidate
          least = value
          isBetter = true
        }
      }
    }
  }
  return best
}

function steps(costs: GossipCosts, change: number): GossipCosts[] {
  const { publishMs, sendMs, receiveMs, joinedMs, firstMs } = costs
  return [
    { ...costs, publishMs: publishMs * change },
    { ...costs, sendMs: sendMs * change },
    { ...costs, receiveMs: receiveMs * change },
    { ...costs, joinedMs: joinedMs * change },
    { ...costs, firstMs: firstMs * change },
  ]
}
