import { SimKernel } from '../kernel.ts'
import { switchedNetwork } from '../network-model.ts'
import type { ScenarioOptions, SimScenario } from '../scenario.ts'
import { SimCluster } from './cluster.ts'
import { assertQueuesBounded } from './invariants.ts'
import { Measure } from './measure.ts'

const minuteMs = 60_000

/** A cluster under way, with what a scenario may do to it. */
interface Play {
  readonly cluster: SimCluster
  readonly kernel: SimKernel
  readonly measure: Measure
  readonly options: ScenarioOptions
  /** Lets virtual time pass. */
  run(durationMs: number): void
  lose(name: string, how: 'killed' | 'vanished'): void
  restart(name: string): void
  /** A node that runs, drawn evenly; never the first two, which are the bootstrap addresses. */
  draw(): string
}

/** How the nodes begin: as strangers, as a cluster, or as two halves that have lost each other for good. */
type Beginning = 'strangers' | 'settled' | 'parted'

function begin(options: ScenarioOptions, beginning: Beginning): Play {
  const { nodes, seed, traceDepth, log } = options
  const kernel = new SimKernel(seed, switchedNetwork)
  const cluster = new SimCluster(kernel, { traceDepth, zoneOf: (number) => `z${number % 3}` })
  cluster.onSighting = () => undefined
  cluster.onStep = (node, machine) => assertQueuesBounded(cluster, node, machine)
  if (beginning === 'strangers') cluster.boot(nodes)
  else {
    cluster.bootSettled(nodes, beginning === 'parted')
    if (beginning === 'parted') part(kernel, cluster.names)
    kernel.run(2000)
  }
  const measure = new Measure(cluster)
  let toldMs = performance.now()
  const play: Play = {
    cluster,
    kernel,
    measure,
    options,
    run(durationMs) {
      const untilMs = kernel.nowMs() + durationMs
      while (kernel.nowMs() < untilMs) {
        kernel.run(Math.min(untilMs, kernel.nowMs() + 1000))
        if (performance.now() - toldMs < 10_000) continue
        toldMs = performance.now()
        log(`${(kernel.nowMs() / 1000).toFixed(0)} s simulated, ${kernel.handled} events`)
      }
    },
    lose(name, how) {
      measure.down(name)
      if (how === 'killed') cluster.kill(name)
      else kernel.halt(name, 'vanished')
    },
    restart(name) {
      measure.back(name)
      cluster.restart(name)
    },
    draw() {
      for (;;) {
        const name = cluster.names[2 + Math.floor(kernel.rng.next() * (nodes - 2))]!
        if (kernel.conditionOf(name) === 'up') return name
      }
    },
  }
  return play
}

function part(kernel: SimKernel, names: readonly string[]): void {
  const middle = Math.floor(names.length / 2)
  kernel.partition([names.slice(0, middle), names.slice(middle)])
}

/** I3 and I7, for every size: the suspicion grows with log N, and with the doubts of nodes whose helpers died as well. */
const detectedWithinMs = 30_000
const agreedWithinMs = 180_000

function scenario(
  name: string,
  title: string,
  act: (play: Play) => void,
  shape: { beginning?: Beginning; isPeaceful?: boolean } = {},
): SimScenario {
  return {
    name,
    title,
    run(options) {
      const before = process.cpuUsage()
      const play = begin(options, shape.beginning ?? 'settled')
      act(play)
      play.measure.converge(agreedWithinMs, play.run)
      play.measure.assertDetected(detectedWithinMs)
      if (shape.isPeaceful ?? true) play.measure.assertNobodyWronged()
      const table = play.measure.row(name)
      const { user, system } = process.cpuUsage(before)
      const seconds = ((user + system) / 1e6).toFixed(0)
      return { ...table, notes: [`Took ${seconds} s of processor time for ${play.kernel.handled} events.`] }
    },
  }
}

export const steady = scenario('steady', 'nothing happens', ({ run, options }) => {
  run(options.quick ? minuteMs / 2 : (options.nodes > 1000 ? 1 : 2) * minuteMs)
})

export const churn = scenario(
  'churn',
  '1 % of the nodes fail each minute, and are back after 30 s',
  (play) => {
    const { options, kernel, run } = play
    const durationMs = options.quick ? minuteMs : (options.nodes > 1000 ? 1 : 5) * minuteMs
    const faults = Math.max(2, Math.round((options.nodes / 100) * (durationMs / minuteMs)))
    for (let fault = 0; fault < faults; fault++) {
      const name = play.draw()
      play.lose(name, fault % 2 === 0 ? 'killed' : 'vanished')
      kernel.schedule(kernel.nowMs() + 30_000, () => play.restart(name))
      run(durationMs / faults)
    }
    run(45_000)
  },
)

export const rolling = scenario('rolling-restart', 'all nodes restart, 50 a minute', (play) => {
  const { cluster, kernel, options, run, measure } = play
  const restarts = Math.min(options.nodes, options.quick ? 30 : options.nodes > 1000 ? 50 : 1000)
  for (const name of cluster.names.slice(0, restarts)) {
    cluster.step(name, { type: 'leave' })
    kernel.schedule(kernel.nowMs() + 3000, () => {
      measure.back(name)
      cluster.restart(name)
    })
    run(minuteMs / 50)
  }
  run(10_000)
})

export const partition = scenario('partition', 'two halves for ten minutes, then healed', (play) => {
  const { cluster, kernel, measure, options, run } = play
  part(kernel, cluster.names)
  measure.fault()
  run(options.quick ? minuteMs : (options.nodes > 1000 ? 2 : 10) * minuteMs)
  reunite(play)
})

/** The second half of `partition`, for sizes at which the first, a `mass-death` of half the nodes, is an evening by itself. */
export const reunion = scenario('reunion', 'two halves that hold each other for dead meet again', reunite, {
  beginning: 'parted',
})

function reunite({ kernel, measure }: Play): void {
  kernel.healAll()
  measure.fault()
}

export const massDeath = scenario('mass-death', '30 % of the nodes vanish at once', (play) => {
  const { cluster, options, run } = play
  const step = 10
  for (let at = 2; at < options.nodes; at++) if (at % step < 3) play.lose(cluster.names[at]!, 'vanished')
  run(options.quick ? 20_000 : 30_000)
})

export const flapping = scenario('flapping', 'one node fails and comes back every seven seconds', (play) => {
  const rounds = play.options.quick ? 4 : 17
  const name = play.draw()
  for (let round = 0; round < rounds; round++) {
    play.lose(name, round % 2 === 0 ? 'killed' : 'vanished')
    play.run(4000)
    play.restart(name)
    play.run(3000)
  }
})

function lossy(name: string, lossRate: number): SimScenario {
  return scenario(
    name,
    `${lossRate * 100} % of all datagrams are lost`,
    ({ kernel, run, options, ...play }) => {
      kernel.network = { ...switchedNetwork, lossRate }
      const durationMs = options.quick ? minuteMs / 2 : (options.nodes > 1000 ? 1 : 10) * minuteMs
      run(durationMs / 2)
      play.lose(play.draw(), 'vanished')
      run(durationMs / 2)
    },
  )
}

export const loss2 = lossy('loss-2', 0.02)
export const loss10 = lossy('loss-10', 0.1)

export const slowNode = scenario('slow-node', 'one node loses 300 ms of its core each second', (play) => {
  const name = play.draw()
  const { nodes, quick } = play.options
  const seconds = quick ? 30 : nodes > 1000 ? 60 : 300
  for (let second = 0; second < seconds; second++) {
    play.kernel.occupy(name, 300)
    play.run(700 + 600 * play.kernel.rng.next())
  }
})

export const coldStart = scenario(
  'cold-start',
  'all nodes start at once and join through two of them',
  ({ run }) => run(1000),
  { beginning: 'strangers', isPeaceful: false },
)

export const day = scenario('day', '24 hours with 2 % of loss', ({ kernel, run, options }) => {
  kernel.network = { ...switchedNetwork, lossRate: 0.02 }
  run(options.quick ? minuteMs : 24 * 60 * minuteMs)
})
