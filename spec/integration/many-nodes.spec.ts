import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { PeerView } from '../../lib/core/ops-view.ts'
import { builtBin } from '../support/built.ts'
import { loopbackNetwork } from '../support/cluster/network.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { putImage } from '../support/cluster/put-image.ts'
import { waitHolders } from '../support/cluster/views.ts'
import { withCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { buildImage } from '../support/oci-image.ts'

/**
 * A process takes 1.2 s of CPU to start and as much again to meet the others, so the cores of the machine are what limits
 * this: twenty are ready for every run of the tests, and `STARLING_MANY_NODES=50` makes it fifty.
 */
const nodes = Number(process.env.STARLING_MANY_NODES ?? 20)
/** From the start of the first process to the moment at which all know all, on two cores that others use as well. */
const wholeWithinMs = nodes * 4_000
const resolvableWithinMs = 10_000
/** How many are killed at once; a quarter. */
const killedAtOnce = Math.floor(nodes / 4)
const killedWithinMs = 15_000
const stoppedForMs = 3_000
const imageName = 'registry.test/many:1'
const cpuTicksPerSecond = 100

/** CPU time of a process, all threads (proc_pid_stat(5)). */
async function cpuSeconds(node: ClusterNode): Promise<number> {
  const stat = await readFile(`/proc/${node.pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / cpuTicksPerSecond
}

async function seesAll(viewer: ClusterNode, all: readonly ClusterNode[]): Promise<boolean> {
  const peers = await viewer.ops<PeerView[]>('peers')
  const alive = new Set(peers.filter(({ state }) => state === 'alive').map(({ name }) => name))
  return all.every(({ name }) => alive.has(name))
}

/** Every death that these nodes wrote into their logs, with the time at which they did. */
function deaths(viewers: readonly ClusterNode[]): { lost: string; atMs: number }[] {
  return viewers.flatMap((viewer) =>
    viewer
      .logs()
      .filter(({ msg, to }) => msg === 'a member is lost' && to === 'dead')
      .map(({ name, time }) => ({ lost: String(name), atMs: Date.parse(time) })),
  )
}

describe(`${nodes} nodes behind one address`, () => {
  it('start together, all see all, and an image of one can be resolved by all', async (t) => {
    const address = loopbackNetwork().addressOf(0)
    const options = {
      nodes,
      started: 0,
      bin: await builtBin(),
      network: loopbackNetwork(Array.from({ length: nodes }, () => address)),
      portsOf: (index: number) => ({ p2p: 24_000 + index, registry: 25_000 + index }),
    }
    await withCluster(options, async (cluster) => {
      const startedMs = performance.now()
      for (const node of cluster.nodes) node.launch()
      await Promise.all(cluster.nodes.map((node) => node.waitReady(wholeWithinMs)))
      const readyMs = performance.now() - startedMs
      // One after the other: asking all of them at once would cost more than what is measured.
      for (const node of cluster.nodes) {
        await eventually(() => seesAll(node, cluster.nodes), {
          timeoutMs: Math.max(1, wholeWithinMs - (performance.now() - startedMs)),
          intervalMs: 200,
          what: `${node.name} sees all ${nodes} nodes`,
        })
      }
      const wholeMs = performance.now() - startedMs
      const cpu = await Promise.all(cluster.nodes.map(cpuSeconds))

      const image = await buildImage({ seed: 'many', layers: [{ sizeBytes: 10_000 }] })
      await putImage(cluster.node(nodes - 1), imageName, image)
      const resolvableMs = await waitHolders(
        cluster.nodes,
        imageName,
        [cluster.node(nodes - 1)],
        resolvableWithinMs,
      )
      const path = `/v2/many/blobs/${image.layers[0]?.digest}?ns=registry.test`
      const got = await cluster.node(0).fetch(path)
      assert.deepEqual([got.status, got.digest], [200, image.layers[0]?.digest])
      const limited = await Promise.all(
        cluster.nodes.map((node) => node.metric('starling_p2p_refused_total', 'gate="limit"')),
      )
      const refused = limited.reduce<number>((sum, one) => sum + (one ?? 0), 0)
      t.diagnostic(
        `ready ${Math.round(readyMs)} ms after the start, whole ${Math.round(wholeMs)} ms, ` +
          `${(cpu.reduce((sum, one) => sum + one, 0) / nodes).toFixed(2)} s of CPU a node by then; ` +
          `an image is resolvable on all after ${Math.round(resolvableMs)} ms`,
      )
      assert.equal(refused, 0, 'connections were refused because they come from one address')

      const stopped = cluster.node(1)
      stopped.pause()
      await delay(stoppedForMs)
      stopped.resume()
      await eventually(() => seesAll(stopped, cluster.nodes), { timeoutMs: wholeWithinMs })
      const killed = cluster.nodes.slice(nodes - killedAtOnce)
      const rest = cluster.nodes.slice(0, nodes - killedAtOnce)
      assert.deepEqual(deaths(cluster.nodes), [], `stopped for ${stoppedForMs} ms: nobody may die of it`)
      const killedMs = Date.now()
      await Promise.all(killed.map((node) => node.kill()))
      const names = new Set(killed.map(({ name }) => name))
      await eventually(() => deaths(rest).length >= rest.length * names.size, {
        timeoutMs: killedWithinMs,
        intervalMs: 200,
        what: `${rest.length} nodes to know that ${names.size} are dead`,
      })
      const times = deaths(rest).map(({ atMs }) => atMs - killedMs)
      assert.ok(
        deaths(rest).every(({ lost }) => names.has(lost)),
        'the others live on',
      )
      t.diagnostic(`${names.size} killed at once: known to all after ${Math.max(...times)} ms`)
    })
  })
})
