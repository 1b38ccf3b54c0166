import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { digestOf } from '../catalog/support.ts'
import { CatalogCluster } from './catalog-cluster.ts'
import {
  assertConverges,
  assertNeverBackwards,
  assertNothingInvented,
  hub,
  onlyHub,
  Stores,
} from './catalog-truth.ts'
import { simulationSeed } from './random.ts'
import type { SimCatalog } from './sim-catalog.ts'

const seed = simulationSeed(20_301_103)
const nodes = 40

/** Idle bytes of a node, all traffic of the catalog together. */
const maxIdleBytesPerSecond = 1024

describe(`shipped catalogs of ${nodes} nodes over the model of gossipsub (seed ${seed})`, () => {
  test('start all at once with what they hold, agree within a minute, and are quiet then', async (t) => {
    t.diagnostic(`repeat with STARLING_SIM_SEED=${seed}`)
    const cluster = startedCluster()
    const stores = new Stores()
    for (const node of cluster.nodes) stores.fill(node, 'base', 'base image')
    for (const node of cluster.nodes) await cluster.boot(node)
    for (const node of cluster.nodes) await stores.snapshot(node)
    t.diagnostic(`agreed after ${await assertConverges(cluster, stores, 60_000)} ms`)
    await cluster.run(20_000)
    const before = cluster.requestBytes + cluster.gossip!.sentBytes
    await cluster.run(60_000)
    const perSecond = (cluster.requestBytes + cluster.gossip!.sentBytes - before) / nodes / 60
    t.diagnostic(`${perSecond.toFixed(0)} bytes a second and node when nothing happens`)
    assert.ok(perSecond < maxIdleBytesPerSecond)
    await cluster.stop()
  })

  test('pull the same image within a minute, and know two seconds after the last who has it', async (t) => {
    const cluster = startedCluster()
    const stores = new Stores()
    for (const node of cluster.nodes) await cluster.boot(node)
    for (const node of cluster.nodes) await stores.snapshot(node)
    await cluster.run(10_000)
    for (const node of cluster.nodes) {
      await stores.put(node, 'new', 'the image of all')
      await cluster.run(60_000 / nodes)
    }
    t.diagnostic(`agreed after ${await assertConverges(cluster, stores, 2_000)} ms`)
    assertNothingInvented(cluster, stores)
    assertNeverBackwards(cluster)
    assert.equal(cluster.count('starling_catalog_messages_total gap'), 0)
    await cluster.stop()
  })

  test('that all get ten thousand images at once broadcast none of it: it is fetched by comparing', async (t) => {
    const few = 8
    const images = 10_000
    const cluster = startedCluster(few)
    for (const node of cluster.nodes) await cluster.boot(node)
    await cluster.run(10_000)
    const before = cluster.gossip!.sentBytes
    await Promise.all(
      cluster.nodes.map((node) => {
        const blobs = Array.from({ length: images }, (_, index) => ({
          digest: digestOf(`${node.name} ${index}`),
          sizeBytes: 1,
          sources: [hub],
          children: undefined,
        }))
        return node.life!.catalog.applyStoreChange({ type: 'snapshot', images: [], blobs })
      }),
    )
    const isKnown = (at: SimCatalog) =>
      cluster.nodes.every(
        (other) => other === at || at.life!.catalog.digestCountOf(other.identity.peerId) === images,
      )
    let waitedMs = 0
    for (; waitedMs < 120_000 && !cluster.nodes.every(isKnown); waitedMs += 1_000) await cluster.run(1_000)
    t.diagnostic(`all know all after ${waitedMs} ms`)
    assert.ok(cluster.nodes.every(isKnown))
    assert.equal(cluster.count('starling_catalog_published_total delta'), 0)
    const perImage = (cluster.gossip!.sentBytes - before) / (few * images)
    t.diagnostic(`${perImage.toFixed(2)} bytes of gossip for an image, all nodes together`)
    assert.ok(perImage < 32, 'less than its digest once')
    await cluster.stop()
  })
})

function startedCluster(size = nodes): CatalogCluster {
  return new CatalogCluster({
    nodes: size,
    seed,
    lossRate: 0,
    tamperRate: 0,
    mirrors: onlyHub,
    bus: 'gossipsub',
  })
}
