import fc from 'fast-check'
import { calmNetwork, SimKernel } from '../kernel.ts'
import { SimCluster } from './cluster.ts'
import { assertQueuesBounded } from './invariants.ts'

/** One operation of a scenario; nodes are numbers modulo the size of the cluster. */
export type Fault =
  | { readonly kind: 'kill' | 'vanish' | 'pause' | 'resume' | 'restart' | 'leave'; readonly node: number }
  | { readonly kind: 'jump'; readonly node: number; readonly byMs: number }
  | { readonly kind: 'cut'; readonly from: number; readonly to: number }
  | { readonly kind: 'partition'; readonly at: number }
  | { readonly kind: 'heal' }
  | { readonly kind: 'network'; readonly lossRate: number; readonly maxDelayMs: number }

export interface Scenario {
  readonly seed: number
  readonly hasDisk: boolean
  readonly faults: readonly { readonly fault: Fault; readonly afterMs: number }[]
}

export function scenarios(nodes: number, maxFaults: number): fc.Arbitrary<Scenario> {
  const node = fc.nat(nodes - 1)
  const named = fc.record({
    kind: fc.constantFrom('kill', 'vanish', 'pause', 'resume', 'restart', 'leave'),
    node,
  })
  const fault: fc.Arbitrary<Fault> = fc.oneof(
    { weight: 6, arbitrary: named },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('jump'),
        node,
        byMs: fc.integer({ min: -7200000, max: 7200000 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('cut'), from: node, to: node }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('partition'), at: fc.integer({ min: 1, max: nodes - 1 }) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('heal') }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('network'),
        lossRate: fc.constantFrom(0, 0.02, 0.1, 0.3),
        maxDelayMs: fc.constantFrom(2, 20, 150),
      }),
    },
  )
  const step = fc.record({ fault, afterMs: fc.integer({ min: 0, max: 8000 }) })
  return fc.record({
    seed: fc.nat(2 ** 31),
    hasDisk: fc.boolean(),
    faults: fc.array(step, { minLength: 1, maxLength: maxFaults }),
  })
}

/** A cluster whose nodes all know one another; every step is checked for bounded queues. */
export function settledCluster(nodes: number, seed: number, hasDisk = true): SimCluster {
  const cluster = new SimCluster(new SimKernel(seed, { ...calmNetwork, duplicateRate: 0.01 }), { hasDisk })
  cluster.onStep = (node, machine) => assertQueuesBounded(cluster, node, machine)
  cluster.boot(nodes)
  cluster.kernel.run(10_000)
  return cluster
}

/** Runs the faults, then mends everything that can be mended. Returns when each observer began a new life. */
export function play(cluster: SimCluster, scenario: Scenario): Map<string, number[]> {
  const births = new Map<string, number[]>()
  const restart = (name: string): void => {
    births.set(name, [...(births.get(name) ?? []), cluster.kernel.nowMs()])
    cluster.restart(name)
  }
  for (const { fault, afterMs } of scenario.faults) {
    cluster.kernel.run(cluster.kernel.nowMs() + afterMs)
    inject(cluster, fault, restart)
  }
  cluster.kernel.healAll()
  cluster.kernel.network = { ...calmNetwork, duplicateRate: 0.01 }
  for (const name of cluster.names) cluster.kernel.resume(name)
  return births
}

function inject(cluster: SimCluster, fault: Fault, restart: (name: string) => void): void {
  const { kernel, names } = cluster
  const nameOf = (number: number) => names[number % names.length] ?? ''
  const isUp = (name: string) => kernel.conditionOf(name) === 'up'
  switch (fault.kind) {
    case 'kill':
    case 'vanish':
      kernel.halt(nameOf(fault.node), fault.kind === 'kill' ? 'killed' : 'vanished')
      break
    case 'pause':
      if (isUp(nameOf(fault.node))) kernel.halt(nameOf(fault.node), 'paused')
      break
    case 'resume':
      kernel.resume(nameOf(fault.node))
      break
    case 'restart':
      restart(nameOf(fault.node))
      break
    case 'leave':
      cluster.step(nameOf(fault.node), { type: 'leave' })
      break
    case 'jump':
      kernel.jumpClock(nameOf(fault.node), { monotonicMs: fault.byMs, wallMs: fault.byMs })
      break
    case 'cut':
      kernel.cut(nameOf(fault.from), nameOf(fault.to))
      break
    case 'partition':
      kernel.partition([names.slice(0, fault.at), names.slice(fault.at)])
      break
    case 'heal':
      kernel.healAll()
      break
    case 'network':
      kernel.network = { ...kernel.network, lossRate: fault.lossRate, maxDelayMs: fault.maxDelayMs }
      break
  }
}
