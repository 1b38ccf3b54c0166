import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import fc from 'fast-check'
import type { Digest } from '../../lib/core/digest.ts'
import { digestOf } from '../catalog/support.ts'
import { CatalogCluster, type ClusterOptions, type SimCatalog } from './catalog-cluster.ts'
import { simulationSeed } from './random.ts'

const hub = 'docker.io'
const onlyHub = { names: [hub], wildcard: false }

/** The truth: what each node's store holds now, and all that it ever held. */
class Stores {
  readonly #now = new Map<SimCatalog, Map<string, Digest>>()
  readonly #ever = new Map<SimCatalog, Set<Digest>>()
  readonly images = new Set<string>()

  of(node: SimCatalog): Map<string, Digest> {
    const known = this.#now.get(node) ?? new Map<string, Digest>()
    this.#now.set(node, known)
    return known
  }

  everHeld(node: SimCatalog, digest: Digest): boolean {
    return this.#ever.get(node)?.has(digest) === true
  }

  async put(node: SimCatalog, tag: string, content: string): Promise<void> {
    const digest = digestOf(content)
    this.of(node).set(tag, digest)
    this.#ever.set(node, (this.#ever.get(node) ?? new Set()).add(digest))
    this.images.add(tag)
    const image = { namespace: 'k8s.io', name: `${hub}/app/${tag}:1`, target: digest }
    const blobs = [{ digest, sizeBytes: 1, sources: [], children: [] }]
    await node.life?.catalog.applyStoreChange({ type: 'image-put', image, blobs })
  }

  async remove(node: SimCatalog, tag: string): Promise<void> {
    if (!this.of(node).delete(tag)) return
    const name = `${hub}/app/${tag}:1`
    await node.life?.catalog.applyStoreChange({ type: 'image-deleted', namespace: 'k8s.io', name })
  }

  /** What a store tells after a start. */
  async snapshot(node: SimCatalog): Promise<void> {
    const held = [...this.of(node)]
    await node.life?.catalog.applyStoreChange({
      type: 'snapshot',
      images: held.map(([tag, target]) => ({
        namespace: 'k8s.io',
        name: `${hub}/app/${tag}:1`,
        target,
      })),
      blobs: [...new Set(held.map(([, digest]) => digest))].map((digest) => ({
        digest,
        sizeBytes: 1,
        sources: [],
        children: [],
      })),
    })
  }

  digests(): Set<Digest> {
    return new Set([...this.#ever.values()].flatMap((digests) => [...digests]))
  }

  holds(node: SimCatalog, digest: Digest): boolean {
    return [...this.of(node).values()].includes(digest)
  }
}

/**
 * I2: no node believes a digest or tag of an origin that the origin never announced. It holds because an inventory is
 * taken only with the origin's signature over a hash of all of it.
 */
function assertNothingInvented(cluster: CatalogCluster, stores: Stores): void {
  for (const node of cluster.alive()) {
    for (const digest of [...stores.digests(), digestOf('a lie')]) {
      const { peers } = node.life!.catalog.findHolders(hub, digest, 1000)
      for (const peer of peers) {
        const origin = cluster.nodes.find((other) => other.identity.peerId === peer)
        assert.ok(origin, 'a holder is a member')
        assert.ok(stores.everHeld(origin, digest), `I2: ${node.name} believes ${digest} of ${origin.name}`)
      }
    }
  }
}

/** I6: the sequences of an origin never run backwards within an epoch; the cluster watches every message for it. */
function assertNeverBackwards(cluster: CatalogCluster): void {
  assert.deepEqual(cluster.violations, [], 'I6')
}

/** I1, as text: where it does not hold yet. Every live node's inventory is equal everywhere, and true. */
function differences(cluster: CatalogCluster, stores: Stores): string[] {
  const found: string[] = []
  const alive = cluster.alive()
  for (const node of alive) {
    const { catalog } = node.life!
    for (const digest of stores.digests()) {
      const expected = alive.filter((other) => other !== node && stores.holds(other, digest))
      const { holders, peers } = catalog.findHolders(hub, digest, 1000)
      const names = alive.filter((other) => peers.includes(other.identity.peerId))
      if (holders !== expected.length || names.length !== expected.length) {
        found.push(
          `${node.name} knows ${names.map((n) => n.name)} for ${digest.slice(7, 12)}, not ${expected.map((n) => n.name)}`,
        )
      } else if (names.some((other) => !expected.includes(other))) {
        found.push(`${node.name} names wrong holders of ${digest}`)
      }
    }
    for (const tag of stores.images) {
      const sides = new Map<Digest, number>()
      for (const other of alive) {
        const digest = stores.of(other).get(tag)
        if (digest !== undefined) sides.set(digest, (sides.get(digest) ?? 0) + 1)
      }
      const answer = catalog.findTag(hub, `app/${tag}`, '1')
      const known =
        answer.state === 'unknown'
          ? []
          : answer.state === 'agreed'
            ? [[answer.digest, answer.holders] as const]
            : answer.sides.map((side) => [side.digest, side.holders] as const)
      const same = known.length === sides.size && known.every(([digest, n]) => sides.get(digest) === n)
      if (!same) found.push(`${node.name} has tag ${tag} as ${JSON.stringify(answer)}`)
    }
  }
  return found
}

/** Runs on until I1 holds; the bound allows for two of the periodic comparisons after the last fault. */
async function assertConverges(cluster: CatalogCluster, stores: Stores, withinMs: number): Promise<number> {
  for (let waitedMs = 0; ; waitedMs += 500) {
    const found = differences(cluster, stores)
    if (found.length === 0) return waitedMs
    if (waitedMs >= withinMs)
      assert.fail(`I1 does not hold after ${withinMs} ms: ${found.slice(0, 5).join('; ')}`)
    await cluster.run(500)
  }
}

async function startAll(cluster: CatalogCluster, stores: Stores): Promise<void> {
  for (const node of cluster.nodes) {
    await cluster.boot(node)
    await stores.snapshot(node)
  }
}

const calm: Omit<ClusterOptions, 'nodes' | 'seed'> = { lossRate: 0, tamperRate: 0, mirrors: onlyHub }

describe('a cluster of catalogs', () => {
  const seed = simulationSeed(20260101)
  let convergedMs = 0
  after(() => console.log(`# seed ${seed}, last convergence after ${convergedMs} ms of virtual time`))

  it('of 30 nodes agrees after loss, lies, a partition, restarts and a lost disk', async () => {
    const cluster = new CatalogCluster({
      nodes: 30,
      seed,
      lossRate: 0.05,
      tamperRate: 0.02,
      mirrors: onlyHub,
    })
    const stores = new Stores()
    await startAll(cluster, stores)
    await cluster.run(2_000)
    const { rng } = cluster.kernel
    const any = () => cluster.nodes[Math.floor(rng.next() * cluster.nodes.length)]!
    const act = async () => {
      const tag = `t${Math.floor(rng.next() * 12)}`
      if (rng.next() < 0.7) await stores.put(any(), tag, `${tag} ${Math.floor(rng.next() * 3)}`)
      else await stores.remove(any(), tag)
    }
    for (let round = 0; round < 60; round += 1) {
      await act()
      await cluster.run(60)
      // So that others know more of this node than its first sequence when its disk is lost.
      if (round < 3) await stores.put(cluster.nodes[20]!, `own${round}`, `own ${round}`)
      if (round === 15) cluster.partition(cluster.nodes.slice(0, 13))
      if (round === 25) await cluster.kill(cluster.nodes[3]!)
      if (round === 28) await cluster.kill(cluster.nodes[20]!)
      if (round === 40) {
        cluster.loseDisk(cluster.nodes[20]!)
        for (const node of [cluster.nodes[3]!, cluster.nodes[20]!]) {
          await cluster.boot(node)
          await stores.snapshot(node)
        }
      }
      if (round === 45) cluster.heal()
      if (round % 10 === 0) assertNothingInvented(cluster, stores)
    }
    convergedMs = await assertConverges(cluster, stores, 70_000)
    assertNothingInvented(cluster, stores)
    assertNeverBackwards(cluster)
    assert.ok(cluster.count('starling_catalog_messages_total gap') > 0, 'the loss caused gaps')
    assert.ok(
      cluster.count('starling_catalog_messages_total wrong-set-hash') > 0,
      'the lies were noticed by their set hash',
    )
    assert.ok(cluster.count('starling_catalog_epochs_raised_total') > 0, 'the lost disk caused a new epoch')
    await cluster.stop()
  })

  it('hears of a change on all nodes within half a second, where nothing is lost', async () => {
    const cluster = new CatalogCluster({ nodes: 20, seed, ...calm })
    const stores = new Stores()
    await startAll(cluster, stores)
    await cluster.run(4_000)
    await stores.put(cluster.nodes[7]!, 'new', 'content')
    convergedMs = await assertConverges(cluster, stores, 500)
    await cluster.stop()
  })

  it('a restarted node is believed at once without its inventory being fetched again', async () => {
    const cluster = new CatalogCluster({ nodes: 6, seed, ...calm })
    const stores = new Stores()
    await startAll(cluster, stores)
    for (let image = 0; image < 5; image += 1) await stores.put(cluster.nodes[0]!, `t${image}`, `c${image}`)
    await assertConverges(cluster, stores, 3_000)
    await cluster.kill(cluster.nodes[0]!)
    await cluster.run(1_000)
    const fetched = cluster.count('starling_catalog_inventories_total installed')
    await cluster.boot(cluster.nodes[0]!)
    await stores.snapshot(cluster.nodes[0]!)
    await cluster.run(500)
    assert.ok(cluster.count('starling_catalog_messages_total adopted') >= 5)
    await assertConverges(cluster, stores, 5_000)
    const others = cluster.nodes.length - 1
    assert.ok(
      cluster.count('starling_catalog_inventories_total installed') - fetched <= others,
      'only the restarted node has fetched',
    )
    await cluster.stop()
  })

  it('a large change is told by a checkpoint and fetched by all', async () => {
    const cluster = new CatalogCluster({ nodes: 8, seed, ...calm })
    const stores = new Stores()
    await startAll(cluster, stores)
    await cluster.run(2_000)
    const [node] = cluster.nodes
    const blobs = Array.from({ length: 12_000 }, (_, index) => ({
      digest: digestOf(`blob ${index}`),
      sizeBytes: 1,
      sources: [hub],
      children: undefined,
    }))
    await node!.life!.catalog.applyStoreChange({ type: 'snapshot', images: [], blobs })
    await cluster.run(6_000)
    for (const other of cluster.nodes.slice(1)) {
      const { catalog } = other.life!
      assert.equal(catalog.digestCountOf(node!.identity.peerId), blobs.length, other.name)
    }
    assert.ok(cluster.count('starling_catalog_published_total checkpoint') >= 1)
    await node!.life!.catalog.applyStoreChange({ type: 'blob-deleted', digest: blobs[5]!.digest })
    await cluster.run(1_000)
    for (const other of cluster.nodes.slice(1)) {
      const { catalog } = other.life!
      assert.equal(catalog.digestCountOf(node!.identity.peerId), blobs.length - 1)
    }
    await cluster.stop()
  })

  it('with a wildcard learns a registry from one node everywhere, and keeps nothing of one it drops', async () => {
    const wildcard = { names: [], wildcard: true }
    const cluster = new CatalogCluster({ nodes: 8, seed, ...calm, mirrors: wildcard })
    const stores = new Stores()
    await startAll(cluster, stores)
    await stores.put(cluster.nodes[2]!, 'x', 'y')
    convergedMs = await assertConverges(cluster, stores, 10_000)
    for (const node of cluster.nodes) assert.deepEqual(node.life!.catalog.registries(), [hub])
    const { catalog } = cluster.nodes[1]!.life!
    catalog.setMirrors({ names: ['other.example'], wildcard: false })
    assert.deepEqual(catalog.registries(), ['other.example'])
    assert.equal(catalog.findHolders(hub, digestOf('y'), 5).holders, 0)
    assert.equal(catalog.digestCountOf(cluster.nodes[2]!.identity.peerId), 0)
    await cluster.stop()
  })
})

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
