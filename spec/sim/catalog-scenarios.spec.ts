import { describe, it } from 'node:test'
import fc from 'fast-check'
import { CatalogCluster } from './catalog-cluster.ts'
import {
  assertConverges,
  assertNeverBackwards,
  assertNothingInvented,
  onlyHub,
  Stores,
  startAll,
} from './catalog-truth.ts'
import { simulationSeed } from './random.ts'

type Step =
  | { readonly do: 'put'; readonly node: number; readonly tag: number; readonly content: number }
  | { readonly do: 'remove'; readonly node: number; readonly tag: number }
  | { readonly do: 'kill' | 'boot' | 'lose-disk'; readonly node: number }
  | { readonly do: 'partition'; readonly size: number }
  | { readonly do: 'heal' }
  | { readonly do: 'wait'; readonly ms: number }

const size = 7
const nodeIndex = fc.nat({ max: size - 1 })
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('put' as const),
      node: nodeIndex,
      tag: fc.nat({ max: 3 }),
      content: fc.nat({ max: 2 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('remove' as const), node: nodeIndex, tag: fc.nat({ max: 3 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('kill' as const, 'boot' as const, 'boot' as const, 'lose-disk' as const),
      node: nodeIndex,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('partition' as const),
      size: fc.integer({ min: 1, max: size - 1 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'heal' as const }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(20, 100, 400, 2_500) }),
  },
)

async function play(cluster: CatalogCluster, stores: Stores, step: Step): Promise<void> {
  const node = 'node' in step ? cluster.nodes[step.node]! : undefined
  switch (step.do) {
    case 'put':
      return stores.put(node!, `t${step.tag}`, `c${step.content}`)
    case 'remove':
      return stores.remove(node!, `t${step.tag}`)
    case 'kill':
      if (node!.life !== undefined) await cluster.kill(node!)
      return
    case 'lose-disk':
      if (node!.life === undefined) cluster.loseDisk(node!)
      return
    case 'boot':
      if (node!.life !== undefined) return
      await cluster.boot(node!)
      return stores.snapshot(node!)
    case 'partition':
      return cluster.partition(cluster.nodes.slice(0, step.size))
    case 'heal':
      return cluster.heal()
    case 'wait':
      return cluster.run(step.ms)
  }
}

describe('any scenario', () => {
  it('ends with catalogs that are equal and true, and nothing invented on the way', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 2 ** 31 }),
        fc.array(anyStep, { minLength: 10, maxLength: 40 }),
        async (seed, steps) => {
          const cluster = new CatalogCluster({
            nodes: size,
            seed,
            lossRate: 0.1,
            tamperRate: 0.05,
            mirrors: onlyHub,
          })
          const stores = new Stores()
          await startAll(cluster, stores)
          for (const step of steps) {
            await play(cluster, stores, step)
            await cluster.run(20)
          }
          assertNothingInvented(cluster, stores)
          cluster.heal()
          await assertConverges(cluster, stores, 70_000)
          assertNothingInvented(cluster, stores)
          assertNeverBackwards(cluster)
          await cluster.stop()
        },
      ),
      { numRuns: 12, seed: simulationSeed(7) },
    )
  })
})
