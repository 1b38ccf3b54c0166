import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { SimCluster } from './membership/cluster.ts'
import {
  assertIncarnationsGrow,
  detectionMs,
  findDisagreement,
  findFalseDeath,
} from './membership/invariants.ts'
import { play, scenarios, settledCluster } from './membership/scenario.ts'
import { simulationSeed } from './random.ts'

const nodes = 50
const seed = simulationSeed(20_301_101)
const runs = Number(process.env.STARLING_SIM_RUNS ?? 25)

/** Runs on in steps of a second, so that a condition that must hold throughout is looked at often. */
function runOn(
  cluster: SimCluster,
  durationMs: number,
  check: (cluster: SimCluster) => void = () => undefined,
): void {
  const endMs = cluster.kernel.nowMs() + durationMs
  while (cluster.kernel.nowMs() < endMs) {
    cluster.kernel.run(Math.min(endMs, cluster.kernel.nowMs() + 1000))
    check(cluster)
  }
}

function assertConverged(cluster: SimCluster, withinMs: number): void {
  const startMs = cluster.kernel.nowMs()
  let disagreement = findDisagreement(cluster)
  while (disagreement !== undefined && cluster.kernel.nowMs() - startMs < withinMs) {
    cluster.kernel.run(cluster.kernel.nowMs() + 1000)
    disagreement = findDisagreement(cluster)
  }
  assert.equal(disagreement, undefined, `after ${withinMs} ms, seed ${cluster.kernel.seed}`)
}

const noFalseDeath = (cluster: SimCluster) => assert.equal(findFalseDeath(cluster), undefined)

test(`whatever happens, incarnations grow, queues stay bounded and all agree two minutes after the last fault (seed ${seed})`, (t) => {
  t.diagnostic(`repeat with STARLING_SIM_SEED=${seed}`)
  const property = fc.property(scenarios(20, 12), (scenario) => {
    const cluster = settledCluster(20, scenario.seed, scenario.hasDisk)
    const births = play(cluster, scenario)
    assertConverged(cluster, 120_000)
    assertIncarnationsGrow(
      cluster,
      (observer, atMs) => (births.get(observer) ?? []).filter((birthMs) => birthMs <= atMs).length,
    )
  })
  fc.assert(property, { seed, numRuns: runs })
})

test('five per cent of loss for five minutes kills nobody', () => {
  const cluster = settledCluster(nodes, seed)
  cluster.kernel.network = { lossRate: 0.05, duplicateRate: 0.01, minDelayMs: 1, maxDelayMs: 20 }
  runOn(cluster, 300_000, noFalseDeath)
  assert.equal(cluster.sightings.filter(({ to }) => to === 'dead').length, 0)
})

test('where every datagram is lost, TCP probes keep all alive', () => {
  const cluster = settledCluster(20, seed)
  cluster.kernel.network = { ...cluster.kernel.network, lossRate: 1 }
  runOn(cluster, 60_000, noFalseDeath)
  assert.equal(cluster.sightings.filter(({ to }) => to === 'dead').length, 0)
})

test('a vanished host is known to be dead by all of fifty within nine seconds', (t) => {
  const times = Array.from({ length: 5 }, (_, index) => {
    const cluster = settledCluster(nodes, seed + index)
    const sinceMs = cluster.kernel.nowMs()
    cluster.kernel.halt('n7', 'vanished')
    runOn(cluster, 9000)
    return detectionMs(cluster, 'n7', sinceMs)
  })
  t.diagnostic(`detected after ${times.map((time) => Math.round(time ?? -1)).join(', ')} ms`)
  assert.ok(times.every((time) => time !== undefined))
})

test('a killed process is known to be dead by all of fifty within two seconds, by the word of its neighbours', (t) => {
  const times = Array.from({ length: 5 }, (_, index) => {
    const cluster = settledCluster(nodes, seed + index)
    const sinceMs = cluster.kernel.nowMs()
    cluster.kernel.halt('n7', 'killed')
    for (const name of cluster.names.slice(10, 25))
      cluster.step(name, { type: 'hint', peerId: cluster.peerId('n7'), hint: 'closed' })
    runOn(cluster, 2000)
    return detectionMs(cluster, 'n7', sinceMs)
  })
  t.diagnostic(`detected after ${times.map((time) => Math.round(time ?? -1)).join(', ')} ms`)
  assert.ok(times.every((time) => time !== undefined))
})

test('hints about a living node do it no harm', () => {
  const cluster = settledCluster(20, seed)
  for (const name of cluster.names.slice(1))
    cluster.step(name, { type: 'hint', peerId: cluster.peerId('n0'), hint: 'refused' })
  runOn(cluster, 5000)
  assert.equal(cluster.sightings.filter(({ to }) => to === 'suspect' || to === 'dead').length, 0)
})

test('a node stopped for eight seconds is stalled, not dead; after a minute it is dead, and back when it goes on', () => {
  const cluster = settledCluster(nodes, seed)
  const count = (state: string) =>
    cluster.names.filter((name) => name !== 'n5' && cluster.stateAt(name, 'n5') === state).length
  cluster.kernel.halt('n5', 'paused')
  runOn(cluster, 5000)
  assert.equal(count('stalled'), nodes - 1)
  runOn(cluster, 3000)
  cluster.kernel.resume('n5')
  runOn(cluster, 5000)
  assert.equal(cluster.sightings.filter(({ to }) => to === 'dead').length, 0)
  assert.equal(count('alive'), nodes - 1)
  cluster.kernel.halt('n5', 'paused')
  runOn(cluster, 60_000)
  assert.equal(count('dead'), nodes - 1)
  cluster.kernel.resume('n5')
  runOn(cluster, 15_000)
  assert.equal(count('alive'), nodes - 1)
})

test('two halves that were parted for five minutes find together without a restart', () => {
  const cluster = settledCluster(nodes, seed)
  cluster.kernel.partition([cluster.names.slice(0, 25), cluster.names.slice(25)])
  runOn(cluster, 300_000)
  assert.equal(cluster.stateAt('n0', 'n49'), 'dead')
  assert.equal(cluster.stateAt('n0', 'n24'), 'alive')
  cluster.kernel.healAll()
  assertConverged(cluster, 60_000)
})

test('a node that slept for an hour accuses nobody when it wakes', () => {
  const cluster = settledCluster(20, seed)
  cluster.kernel.halt('n3', 'paused')
  cluster.kernel.jumpClock('n3', { monotonicMs: 3_600_000, wallMs: 3_600_000 })
  runOn(cluster, 3000)
  cluster.kernel.resume('n3')
  runOn(cluster, 20_000)
  const accused = cluster.sightings.filter(({ member, to }) => member !== 'n3' && to !== 'alive')
  assert.deepEqual(accused, [])
  assertConverged(cluster, 1000)
})

test('a node that flaps does not drag others along, and is known when it stays', () => {
  const cluster = settledCluster(20, seed)
  for (let round = 0; round < 10; round++) {
    cluster.kernel.halt('n4', round % 2 === 0 ? 'killed' : 'vanished')
    runOn(cluster, 4000)
    cluster.restart('n4')
    runOn(cluster, 3000)
  }
  assert.equal(cluster.sightings.filter(({ member, to }) => member !== 'n4' && to === 'dead').length, 0)
  assertConverged(cluster, 5000)
})

test('a link that is cut one way harms neither end', () => {
  const cluster = settledCluster(20, seed)
  cluster.kernel.cut('n1', 'n2')
  runOn(cluster, 120_000, noFalseDeath)
  assert.equal(cluster.sightings.filter(({ to }) => to === 'dead').length, 0)
})

test('a third of the nodes dead at once is noticed, and the rest stays whole', () => {
  const cluster = settledCluster(30, seed)
  for (const name of cluster.names.slice(20)) cluster.kernel.halt(name, 'vanished')
  runOn(cluster, 60_000, noFalseDeath)
  assertConverged(cluster, 1000)
})

test('goodbyes are known at once, and equal seeds give equal runs', () => {
  const run = () => {
    const cluster = settledCluster(20, seed)
    cluster.step('n6', { type: 'leave' })
    runOn(cluster, 2000)
    assert.ok(cluster.names.every((name) => name === 'n6' || cluster.stateAt(name, 'n6') === 'left'))
    return cluster.sightings
  }
  assert.deepEqual(run(), run())
})
