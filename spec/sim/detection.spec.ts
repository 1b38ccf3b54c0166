import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultSettings } from '../../lib/membership/settings.ts'
import { quantile } from '../bench/support/statistics.ts'
import { SimKernel } from './kernel.ts'
import { type ClusterOptions, SimCluster } from './membership/cluster.ts'
import { assertQueuesBounded, detectionMs, findDisagreement } from './membership/invariants.ts'
import { simulationSeed } from './random.ts'

const nodes = 50
const seed = simulationSeed(20_301_103)
/** More for a figure: `STARLING_SIM_RUNS=1000`. */
const runs = Number(process.env.STARLING_SIM_RUNS ?? 30)
const network = { lossRate: 0.001, duplicateRate: 0.001, minDelayMs: 0.2, maxDelayMs: 2, tailMs: 0.5 }

function settled(options: ClusterOptions, seedOfRun: number, count = nodes): SimCluster {
  const cluster = new SimCluster(new SimKernel(seedOfRun, network), options)
  cluster.onStep = (node, machine) => assertQueuesBounded(cluster, node, machine)
  cluster.bootSettled(count)
  // The cluster's clock is shared after some seconds; the phase in which the fault falls is any.
  cluster.kernel.run(8000 + 5000 * cluster.kernel.rng.next())
  return cluster
}

/** From the fault until the last live node holds the victim for dead, in many clusters, sorted. */
function detections(options: ClusterOptions, boundMs: number, harm: (cluster: SimCluster) => void): number[] {
  return Array.from({ length: runs }, (_, run) => {
    const cluster = settled(options, seed + run)
    const sinceMs = cluster.kernel.nowMs()
    harm(cluster)
    cluster.kernel.run(sinceMs + boundMs)
    const ms = detectionMs(cluster, 'n7', sinceMs)
    assert.ok(ms !== undefined, `I3: not by ${boundMs} ms, seed ${seed + run}\n${cluster.trace('n8')}`)
    return ms
  })
}

const vanish = (cluster: SimCluster) => cluster.kernel.halt('n7', 'vanished')
const kill = (cluster: SimCluster) => cluster.kill('n7')

for (const [what, options, harm, p99Ms, medianMs, longestMs] of [
  ['a vanished host', {}, vanish, 9000, 6000, 10_000],
  ['a killed process', {}, kill, 2000, 1500, 2500],
  ['a vanished host, over TCP alone', { tcpOnly: true }, vanish, 12_000, 9000, 14_000],
  ['a killed process, over TCP alone', { tcpOnly: true }, kill, 3000, 2500, 4000],
] as const) {
  test(`${what} among ${nodes} is known to be dead by the last one within ${p99Ms} ms in 99 of 100 cases`, (t) => {
    const times = detections(options, longestMs, harm)
    const [half, most, max] = [0.5, 0.99, 1].map((share) => Math.round(quantile(times, share)))
    t.diagnostic(`seed ${seed}, ${runs} runs: median ${half} ms, p99 ${most} ms, longest ${max} ms`)
    assert.ok(quantile(times, 0.5) <= medianMs)
    assert.ok(quantile(times, 0.99) <= p99Ms)
  })
}

test('a stalled process is nobody’s candidate after five seconds, and not dead before thirty', (t) => {
  const stalled: number[] = []
  for (let run = 0; run < Math.ceil(runs / 3); run++) {
    const cluster = settled({}, seed + run)
    const sinceMs = cluster.kernel.nowMs()
    cluster.kernel.halt('n7', 'paused')
    const of = (state: string) =>
      cluster.sightings.filter(({ member, to, atMs }) => member === 'n7' && to === state && atMs >= sinceMs)
    cluster.kernel.run(sinceMs + 29_000)
    assert.equal(of('dead').length, 0)
    assert.equal(of('stalled').length, nodes - 1)
    stalled.push(Math.max(...of('stalled').map(({ atMs }) => atMs - sinceMs)))
    cluster.kernel.run(sinceMs + 45_000)
    assert.equal(of('dead').length, nodes - 1)
  }
  t.diagnostic(
    `stalled for all after ${Math.round(quantile(stalled, 0.5))} to ${Math.max(...stalled) | 0} ms`,
  )
  assert.ok(quantile(stalled, 0.99) <= 5000)
})

test('SIGSTOP of three and of eight seconds kills nobody, over TCP alone as well', () => {
  for (const tcpOnly of [false, true]) {
    const cluster = settled({ tcpOnly }, seed)
    for (const durationMs of [3000, 8000]) {
      cluster.kernel.halt('n7', 'paused')
      cluster.kernel.run(cluster.kernel.nowMs() + durationMs)
      cluster.kernel.resume('n7')
      cluster.kernel.run(cluster.kernel.nowMs() + 30_000)
    }
    assert.equal(cluster.sightings.filter(({ to }) => to === 'dead').length, 0)
    assert.equal(findDisagreement(cluster), undefined)
  }
})

test('halves that were parted for longer than the dead are remembered meet through the bootstrap addresses', () => {
  const settings = { ...defaultSettings, deadMemoryMs: 120_000 }
  const cluster = settled({ settings }, seed, 20)
  const { names, kernel } = cluster
  kernel.partition([names.slice(0, 10), names.slice(10)])
  kernel.run(kernel.nowMs() + 400_000)
  assert.equal(cluster.stateAt('n0', 'n15'), undefined, 'forgotten')
  assert.equal(cluster.stateAt('n15', 'n0'), undefined, 'forgotten')
  kernel.healAll()
  kernel.run(kernel.nowMs() + 150_000)
  assert.equal(findDisagreement(cluster), undefined)
})

test('news crosses zones: a death is known in all of five zones, and a zone of one node is no island', () => {
  const cluster = settled({ zoneOf: (number) => (number === 0 ? 'lone' : `z${number % 4}`) }, seed)
  const sinceMs = cluster.kernel.nowMs()
  cluster.kernel.halt('n7', 'vanished')
  cluster.kernel.run(sinceMs + 10_000)
  assert.notEqual(detectionMs(cluster, 'n7', sinceMs), undefined)
  cluster.step('n9', { type: 'leave' })
  cluster.kernel.run(cluster.kernel.nowMs() + 2500)
  assert.equal(findDisagreement(cluster), undefined)
})

test('a node that hears but is not heard is kept alive by helpers, and accuses nobody', () => {
  const cluster = settled({}, seed, 20)
  for (const other of cluster.names.slice(5, 12)) cluster.kernel.cut('n4', other)
  cluster.kernel.run(cluster.kernel.nowMs() + 120_000)
  assert.equal(cluster.sightings.filter(({ to }) => to === 'dead').length, 0)
})
