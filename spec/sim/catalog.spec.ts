import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { digestOf } from '../catalog/support.ts'
import { CatalogCluster, type ClusterOptions } from './catalog-cluster.ts'
import {
  assertConverges,
  assertNeverBackwards,
  assertNothingInvented,
  hub,
  onlyHub,
  Stores,
  startAll,
} from './catalog-truth.ts'
import { simulationSeed } from './random.ts'

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

  it('a change whose only message was lost is known seconds later, long before the next comparison', async () => {
    const cluster = new CatalogCluster({ nodes: 6, seed, ...calm })
    const stores = new Stores()
    await startAll(cluster, stores)
    // Until the comparisons after joining are over.
    await cluster.run(20_000)
    const [node] = cluster.nodes
    cluster.partition([node!])
    await stores.put(node!, 'lost', 'content')
    await cluster.run(500)
    cluster.heal()
    assert.ok(cluster.count('starling_catalog_published_total delta') > 0)
    convergedMs = await assertConverges(cluster, stores, 2_500)
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

  it('names a violated invariant, with the seed and the last steps of the node', async () => {
    const cluster = new CatalogCluster({ nodes: 4, seed, ...calm })
    const stores = new Stores()
    await startAll(cluster, stores)
    cluster.partition([cluster.nodes[1]!])
    await stores.put(cluster.nodes[0]!, 'new', 'content')
    await assert.rejects(assertConverges(cluster, stores, 1_000), (error: Error) => {
      assert.match(error.message, new RegExp(`^I1: seed ${seed}: not after 1000 ms: n1 knows  for `))
      assert.match(
        error.message,
        /the last steps of n1:\n.* ms starts, its epoch was 0\n.* ms publishes the delta 1\.1 of n1/,
      )
      return true
    })
    await cluster.stop()
  })
})
