import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { cpuSeconds } from '../bench/support/process-usage.ts'
import { builtBin } from '../support/built.ts'
import { allLost, losses } from '../support/cluster/losses.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { putImage } from '../support/cluster/put-image.ts'
import { stealCores } from '../support/cluster/steal.ts'
import { type TwoHosts, twoHosts } from '../support/cluster/two-hosts.ts'
import { waitAllAlive, waitHolders } from '../support/cluster/views.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { buildImage } from '../support/oci-image.ts'

/**
 * A process takes 1.2 s of CPU to start and as much again to meet the others, so the cores of the machine are what limits
 * this: twelve are ready for every run of the tests, and `STARLING_MANY_NODES=50` makes it fifty.
 */
const nodes = Number(process.env.STARLING_MANY_NODES ?? 12)
/**
 * From the start of the first process to the moment at which all know all, on two cores that others use as well. The
 * benchmarks measure; here it is only said what must come true at all.
 */
const wholeWithinMs = 60_000 + nodes * 4_000
const resolvableWithinMs = 20_000
/** How many are killed at once; a quarter. */
const killedAtOnce = Math.floor(nodes / 4)
const killedWithinMs = 30_000
/** A stalled process is dead after 30 s, and never much sooner. */
const [stalledForAtLeastMs, stalledWithinMs] = [25_000, 150_000]
const cutOffWithinMs = 90_000
/** Each node tells its own inventory after its start, and perhaps once more; it must not send those of the others round. */
const messagesAfterRestart = 8

const nameOf = (repository: string) => `registry.test/${repository}:1`
const imageOf = (seed: string) => buildImage({ seed, layers: [{ sizeBytes: 10_000 }] })

async function sumOf(all: readonly ClusterNode[], name: string, labels = ''): Promise<number> {
  const values = await Promise.all(all.map((node) => node.metric(name, labels)))
  return values.reduce<number>((sum, value) => sum + (value ?? 0), 0)
}

describe(`${nodes} nodes behind two addresses`, () => {
  let network: TwoHosts
  let cluster: Cluster

  before(async () => {
    network = await twoHosts()
    cluster = await createCluster({
      nodes,
      network,
      started: 0,
      bin: await builtBin(),
      portsOf: (index) => ({ p2p: 24_000 + index, registry: 25_000 + index }),
      // A second thread for the registry of each would be a quarter of what they need to start.
      configure: (config) => ({ ...config, registry: { ...(config.registry as object), workers: 1 } }),
    })
  })

  after(async () => {
    await cluster?.dispose()
    await network?.[Symbol.asyncDispose]()
  })

  const share = async (holder: ClusterNode, repository: string) => {
    const image = await imageOf(repository)
    await putImage(holder, nameOf(repository), image)
    return image
  }

  it('start together, all see all, and an image of one can be resolved by all', async (t) => {
    const startedMs = performance.now()
    for (const node of cluster.nodes) node.launch()
    await Promise.all(cluster.nodes.map((node) => node.waitReady(wholeWithinMs, 500)))
    const readyMs = performance.now() - startedMs
    await waitAllAlive(cluster.nodes, wholeWithinMs)
    const wholeMs = performance.now() - startedMs
    const cpu = cluster.nodes.reduce((sum, { pid = 0 }) => sum + cpuSeconds(pid), 0) / nodes

    const holder = cluster.node(nodes - 1)
    const image = await share(holder, 'many')
    const resolvableMs = await waitHolders(cluster.nodes, nameOf('many'), [holder], resolvableWithinMs)
    const path = `/v2/many/blobs/${image.layers[0]?.digest}?ns=registry.test`
    const got = await cluster.node(0).fetch(path)
    assert.deepEqual([got.status, got.digest], [200, image.layers[0]?.digest])
    t.diagnostic(
      `ready ${Math.round(readyMs)} ms after the start, whole ${Math.round(wholeMs)} ms, ` +
        `${cpu.toFixed(2)} s of CPU a node by then; an image is resolvable on all after ${Math.round(resolvableMs)} ms`,
    )
    const refused = await sumOf(cluster.nodes, 'starling_p2p_refused_total', 'gate="limit"')
    assert.equal(refused, 0, 'connections were refused because they come from one address')
  })

  it('nobody dies who stands still for seconds or is robbed of its core; who stands still for long is dead, then back', async (t) => {
    const [long, eight, three, robbed] = [4, 5, 6, 7].map((index) => cluster.node(index))
    assert.ok(long && eight && three && robbed)
    const others = cluster.nodes.filter((node) => node !== long)
    const sinceMs = Date.now()
    long.pause()
    const theft = stealCores(robbed, { stolenMs: 300, periodMs: 600 })
    await Promise.all(
      (
        [
          [eight, 8_000],
          [three, 3_000],
        ] as const
      ).map(async ([node, durationMs]) => {
        node.pause()
        await delay(durationMs)
        node.resume()
      }),
    )
    const known = (to: 'stalled' | 'dead') => () => allLost(others, [long], to, sinceMs)
    await eventually(known('dead'), {
      timeoutMs: stalledWithinMs,
      intervalMs: 500,
      what: `${others.length} nodes to know that ${long.name} is dead`,
    })
    await theft.end()
    long.resume()
    await waitAllAlive(cluster.nodes, wholeWithinMs)
    const deaths = losses(cluster.nodes, 'dead', sinceMs)
    const wrong = deaths.filter(({ lost, viewer }) => lost !== long.name || viewer === long.name)
    assert.deepEqual(wrong, [], 'they live, and who wakes up accuses nobody')
    const firstMs = Math.min(...deaths.map(({ atMs }) => atMs)) - sinceMs
    assert.ok(
      firstMs >= stalledForAtLeastMs,
      `dead after ${firstMs} ms: its kernel has answered all the time`,
    )
    const stalls = losses(others, 'stalled', sinceMs).filter(({ lost }) => lost === long.name)
    assert.ok(stalls.length > 0, 'it was no candidate before that')
    const lastMs = Math.max(...deaths.map(({ atMs }) => atMs)) - sinceMs
    t.diagnostic(
      `stalled after ${Math.min(...stalls.map(({ atMs }) => atMs)) - sinceMs} ms, dead after ${firstMs} to ${lastMs} ms`,
    )
  })

  it('go on in two halves when the link between the hosts is down, and are whole again once it is up', async (t) => {
    const { hosts } = network
    if (hosts === undefined) return t.skip('no namespaces, so that nothing can be cut')
    const left = cluster.nodes.filter(({ index }) => index % 2 === 0)
    const right = cluster.nodes.filter(({ index }) => index % 2 === 1)
    const cutMs = Date.now()
    await hosts.setLink(1, false)
    await eventually(() => allLost(left, right, 'dead', cutMs) && allLost(right, left, 'dead', cutMs), {
      timeoutMs: cutOffWithinMs,
      intervalMs: 500,
      what: 'each half to know that the other one is gone',
    })
    const deadMs = Math.max(...losses(cluster.nodes, 'dead', cutMs).map(({ atMs }) => atMs)) - cutMs
    await Promise.all([share(cluster.node(0), 'left'), share(cluster.node(1), 'right')])
    await waitHolders(left, nameOf('left'), [cluster.node(0)], resolvableWithinMs)
    await hosts.setLink(1, true)
    const healedMs = performance.now()
    await waitAllAlive(cluster.nodes, wholeWithinMs)
    await waitHolders(cluster.nodes, nameOf('left'), [cluster.node(0)], wholeWithinMs)
    await waitHolders(cluster.nodes, nameOf('right'), [cluster.node(1)], wholeWithinMs)
    t.diagnostic(
      `known to all after ${deadMs} ms, whole with catalogs ${Math.round(performance.now() - healedMs)} ms after the link is up`,
    )
  })

  it('notice that a quarter of them was killed at once, and lose nobody else', async (t) => {
    const killed = cluster.nodes.slice(nodes - killedAtOnce)
    const rest = cluster.nodes.slice(0, nodes - killedAtOnce)
    const sinceMs = Date.now()
    await Promise.all(killed.map((node) => node.kill()))
    await eventually(() => allLost(rest, killed, 'dead', sinceMs), {
      timeoutMs: killedWithinMs,
      intervalMs: 200,
      what: `${rest.length} nodes to know that ${killed.length} are dead`,
    })
    const deaths = losses(rest, 'dead', sinceMs)
    const names = new Set(killed.map(({ name }) => name))
    assert.deepEqual(
      deaths.filter(({ lost }) => !names.has(lost)),
      [],
      'the others live on',
    )
    t.diagnostic(
      `${names.size} killed at once: known to all after ${Math.max(...deaths.map(({ atMs }) => atMs)) - sinceMs} ms`,
    )
  })

  it('know each other and what all hold after a power cut, from their disks and without a storm', async (t) => {
    const isKept = (node: ClusterNode) => stat(join(node.dir, 'data', 'catalog')).then(({ size }) => size > 0)
    // Those who were killed a moment ago may never have written theirs.
    const running = cluster.nodes.filter((node) => node.running)
    await eventually(async () => (await Promise.all(running.map(isKept))).every(Boolean), {
      timeoutMs: 120_000,
      intervalMs: 1_000,
      what: 'all catalogs to be on disk',
    })
    await Promise.all(cluster.nodes.map((node) => node.kill()))
    const startedMs = performance.now()
    for (const node of cluster.nodes) node.launch()
    await Promise.all(cluster.nodes.map((node) => node.waitReady(wholeWithinMs, 500)))
    await waitAllAlive(cluster.nodes, wholeWithinMs)
    const holder = cluster.node(nodes - 1)
    await waitHolders(cluster.nodes, nameOf('many'), [holder], wholeWithinMs)
    const wholeMs = performance.now() - startedMs
    const recalled = await sumOf(cluster.nodes, 'starling_catalog_recalled_total', 'outcome="installed"')
    const fetched = await sumOf(cluster.nodes, 'starling_catalog_inventories_total')
    const told = await sumOf(cluster.nodes, 'starling_broadcast_published_total')
    const kinds = await sumOf(cluster.nodes, 'starling_catalog_published_total')
    t.diagnostic(
      `whole ${Math.round(wholeMs)} ms after the start; ${recalled} inventories from disk, ${fetched} from neighbours, ${told} messages (${kinds})`,
    )
    assert.ok(recalled > 0, 'nothing came from the disks')
    assert.ok(told <= messagesAfterRestart * nodes, `${told} messages for ${nodes} nodes`)
  })
})
