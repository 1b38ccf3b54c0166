import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, afterEach, before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { builtBin } from '../support/built.ts'
import { namespaceNetwork, skipWithoutNamespaces } from '../support/cluster/namespaces.ts'
import type { CuttableNetwork } from '../support/cluster/network.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { putImage } from '../support/cluster/put-image.ts'
import { holdersOf, viewOf, waitHolders, waitState } from '../support/cluster/views.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { buildImage, type PlatformImage } from '../support/oci-image.ts'

const nameOf = (repository: string) => `registry.test/${repository}:1`
const imageOf = (seed: string, sizeBytes = 50_000) => buildImage({ seed, layers: [{ sizeBytes }] })

/** From the moment of the cut: probe, suspicion, death (DESIGN §8 promises 9 s with datagrams, as a p99 of 50 nodes). */
const deadWithinMs = 45_000
/** The network stays cut for so long after that: no dial or request that is under way lives longer, so nothing heals by luck. */
const cutForMs = 10_000
/** From the moment of healing: the dead are tried again every 10 s, then catalogs are compared. */
const wholeWithinMs = 60_000
/** A killed process: its kernel refuses at once (DESIGN §8: 2 s). */
const killedWithinMs = 15_000
/** Told at once; where a message is lost, the comparison finds it, every 30 s. */
const toldWithinMs = 45_000
/** One suspicion, heard by all, as a machine that is starved of CPU may raise; without indirect probes there are a dozen. */
const maxDoubts = 6
const leftWithinMs = 10_000
const shutdownGraceMs = 5_000
const largeBlobSizeBytes = 96 * 2 ** 20

describe('a cluster in a network of small packets that breaks', { skip: skipWithoutNamespaces() }, () => {
  let network: CuttableNetwork
  let cluster: Cluster

  before(async () => {
    // The least that IPv6 lets a link have (RFC 8200 §5): no datagram may need more.
    network = await namespaceNetwork(4, { mtu: 1280 })
    cluster = await createCluster({ nodes: 4, network, bin: await builtBin() })
  })

  after(async () => {
    await cluster?.dispose()
    await network?.[Symbol.asyncDispose]()
  })

  // What one test cut, the next one finds whole.
  afterEach(() => network.heal())

  const pick = (...indexes: number[]): ClusterNode[] => indexes.map((index) => cluster.node(index))

  async function changesTo(nodes: readonly ClusterNode[], state: string): Promise<number> {
    const counts = nodes.map((node) => node.metric('starling_membership_changes_total', `to="${state}"`))
    return (await Promise.all(counts)).reduce<number>((sum, count) => sum + (count ?? 0), 0)
  }

  it('keeps everybody alive when one direction between two nodes is cut: others probe for them', async (t) => {
    const all = pick(0, 1, 2, 3)
    const deaths = await changesTo(all, 'dead')
    const doubts = await changesTo(all, 'suspect')
    await network.cutOneWay(0, 1)
    // Node 1 asks, node 0 hears it, and no answer arrives: so many were lost, and nobody has died of it.
    await eventually(async () => (await network.vanished(1)) >= 40, { timeoutMs: 40_000 })
    assert.equal(await changesTo(all, 'dead'), deaths)
    const doubted = (await changesTo(all, 'suspect')) - doubts
    t.diagnostic(`${doubted} suspicions`)
    assert.ok(doubted <= maxDoubts, `${doubted} suspicions: the indirect probes did not help`)
    for (const [viewer, other] of [pick(0, 1), pick(1, 0)]) {
      assert.ok(viewer && other)
      const view = await viewOf(viewer, other)
      assert.ok(view?.state === 'alive' || view?.state === 'suspect', `${viewer.name}: ${view?.state}`)
    }
    await network.heal()
    await waitState(all, all, 'alive', wholeWithinMs)
  })

  it('goes on in two halves, and both catalogs are complete again after it has healed', async (t) => {
    const [left, right, all] = [pick(0, 1), pick(2, 3), pick(0, 1, 2, 3)]
    const [before, ofLeft, ofRight] = [nameOf('before'), nameOf('left'), nameOf('right')]
    await putImage(cluster.node(0), before, await imageOf('before'))
    await waitHolders(all, before, pick(0), toldWithinMs)
    const pids = all.map(({ pid }) => pid)

    await network.cut([
      [0, 1],
      [2, 3],
    ])
    const deadMs = await Promise.all([
      waitState(left, right, 'dead', deadWithinMs),
      waitState(right, left, 'dead', deadWithinMs),
    ])
    assert.deepEqual(await holdersOf(cluster.node(2), before), [], 'the dead are nobody to ask')
    await putImage(cluster.node(0), ofLeft, await imageOf('left'))
    await putImage(cluster.node(3), ofRight, await imageOf('right'))
    const toldMs = await Promise.all([
      waitHolders(left, ofLeft, pick(0), toldWithinMs),
      waitHolders(right, ofRight, pick(3), toldWithinMs),
    ])
    assert.deepEqual(await holdersOf(cluster.node(1), ofRight), [])
    assert.deepEqual(await holdersOf(cluster.node(2), ofLeft), [])

    await delay(cutForMs)
    await network.heal()
    const healedMs = performance.now()
    await waitState(all, all, 'alive', wholeWithinMs)
    const wholeMs = performance.now() - healedMs
    const left_ = wholeWithinMs - wholeMs
    await Promise.all([
      waitHolders(all, before, pick(0), left_),
      waitHolders(all, ofLeft, pick(0), left_),
      waitHolders(all, ofRight, pick(3), left_),
    ])
    assert.deepEqual(
      all.map(({ pid }) => pid),
      pids,
      'nobody was restarted',
    )
    const [toLeft = 0, toRight = 0] = deadMs
    t.diagnostic(`told within the halves after ${toldMs.map(Math.round).join(' and ')} ms`)
    t.diagnostic(
      `dead after ${Math.round(toLeft)} and ${Math.round(toRight)} ms; whole ${Math.round(wholeMs)} ms after healing, catalogs after ${Math.round(performance.now() - healedMs)} ms`,
    )
  })

  it('declares a killed process dead, and knows it again with a new epoch after its restart', async (t) => {
    const [others, [killed]] = [pick(0, 1, 2), pick(3)]
    assert.ok(killed)
    const name = nameOf('restart')
    await putImage(killed, name, await imageOf('restart'))
    await waitHolders(others, name, [killed], toldWithinMs)
    const epochOf = async () => Number(await readFile(join(killed.dir, 'data', 'catalog-epoch'), 'utf8'))
    const [epoch, seen] = [await epochOf(), await viewOf(cluster.node(0), killed)]

    await killed.kill()
    const deadMs = await waitState(others, [killed], 'dead', killedWithinMs)
    assert.deepEqual(await holdersOf(cluster.node(0), name), [])

    await killed.start()
    const aliveMs = await waitState(others, [killed], 'alive', wholeWithinMs)
    await waitHolders(others, name, [killed], wholeWithinMs)
    assert.ok((await epochOf()) > epoch)
    const now = await viewOf(cluster.node(0), killed)
    assert.equal(now?.peerId, seen?.peerId)
    assert.ok((now?.incarnation ?? 0) > (seen?.incarnation ?? 0))
    t.diagnostic(`dead after ${Math.round(deadMs)} ms, alive ${Math.round(aliveMs)} ms after it was ready`)
  })

  it('hears a goodbye at once, while the transfer in flight is finished within the grace period', async (t) => {
    const [others, [leaver]] = [pick(0, 1, 2), pick(3)]
    assert.ok(leaver)
    const image: PlatformImage = await imageOf('goodbye', largeBlobSizeBytes)
    await putImage(leaver, nameOf('goodbye'), image)
    await waitHolders([leaver], nameOf('goodbye'), [leaver], 10_000)
    const layer = image.layers[0]
    assert.ok(layer)
    const begun = Promise.withResolvers<void>()
    const goOn = Promise.withResolvers<void>()
    // A client that stops in the middle of what is far more than the machine could buffer.
    const transfer = leaver.fetch(`/v2/goodbye/blobs/${layer.digest}?ns=registry.test`, {
      onBytes: () => {
        begun.resolve()
        return goOn.promise
      },
    })
    await begun.promise
    const stoppedMs = performance.now()
    const ended = leaver.stop()
    const leftMs = await waitState(others, [leaver], 'left', leftWithinMs)
    assert.ok(leaver.running, 'the transfer holds it up')
    goOn.resolve()
    const { status, end, bytes, digest } = await transfer
    assert.deepEqual([status, end, bytes, digest], [200, 'complete', layer.size, layer.digest])
    assert.equal(await ended, 0)
    const endedMs = performance.now() - stoppedMs
    assert.ok(endedMs < shutdownGraceMs + 10_000, `it took ${endedMs} ms`)
    for (const node of others) assert.equal((await viewOf(node, leaver))?.state, 'left')
    t.diagnostic(`left after ${Math.round(leftMs)} ms, ended after ${Math.round(endedMs)} ms`)
  })

  it('loses nobody when all datagrams are dropped, and notices a killed process over TCP', async (t) => {
    const [all, others, [killed]] = [pick(0, 1, 2), pick(0, 1), pick(2)]
    assert.ok(killed)
    const deaths = await changesTo(all, 'dead')
    await network.blockUdp()
    const isNoticed = (node: ClusterNode) =>
      node.logs().some(({ msg }) => msg.startsWith('membership runs over TCP alone'))
    await eventually(() => all.every(isNoticed), { timeoutMs: 60_000, what: 'all to give up datagrams' })
    await waitState(all, all, 'alive', wholeWithinMs)
    assert.equal(await changesTo(all, 'dead'), deaths)
    await killed.kill()
    const deadMs = await waitState(others, [killed], 'dead', killedWithinMs)
    t.diagnostic(`dead after ${Math.round(deadMs)} ms`)
    await killed.start()
    await waitState(all, all, 'alive', wholeWithinMs)
  })
})
