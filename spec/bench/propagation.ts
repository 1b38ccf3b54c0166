import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { WhereView } from '../../lib/core/ops-view.ts'
import { LayoutWriter } from '../../lib/oci-layout/writer.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import type { Cluster } from '../support/cluster.ts'
import { buildArtifact } from '../support/oci-image.ts'
import type { Benchmark } from './benchmark.ts'
import { benchCluster, registry } from './support/bench-cluster.ts'
import { spread } from './support/statistics.ts'

const nodes = 20
const pollMs = 40
const givenUpMs = 30_000

/** Asks a node until a tag leads to a holder; resolves with the time of that answer. */
async function whenResolvable(node: ClusterNode, name: string, startedMs: number): Promise<number> {
  // The polls of all nodes must not fall together.
  await delay((node.index * pollMs) / nodes)
  for (;;) {
    const { digest, holders } = await node.ops<WhereView>(`where/${name}`)
    const nowMs = performance.now()
    if (digest !== null && holders.length > 0) return nowMs
    if (nowMs - startedMs > givenUpMs) throw new Error(`${node.name} does not know ${name}`)
    await delay(pollMs)
  }
}

/** Puts one image into a node's store; resolves with the milliseconds that each other node took to know who has it. */
async function shareOne(cluster: Cluster, turn: number): Promise<number[]> {
  const holder = cluster.node((turn * 7 + 3) % nodes)
  const image = await buildArtifact({ seed: `propagation ${turn}`, sizes: [1000, 2000, 3000] })
  const writer = await LayoutWriter.open(join(holder.dir, 'oci'))
  for (const [digest, blob] of image.blobs) await writer.addBlob(blob.bytes(), digest)
  await delay(300 + ((turn * 37) % 100))
  const name = `${registry}/bench/propagation:${turn}`
  const startedMs = performance.now()
  const waiting = cluster.nodes
    .filter((node) => node !== holder)
    .map((node) => whenResolvable(node, name, startedMs))
  await writer.putImage(name, image.root)
  return (await Promise.all(waiting)).map((knownMs) => knownMs - startedMs)
}

/** From an image in one node's store to all nodes that can say who has it. */
export const propagation: Benchmark = {
  name: 'propagation',
  title: `Catalog: from an image event to resolvable on all of ${nodes} nodes`,
  async run(log, { quick }) {
    const youngRounds = quick ? 3 : 10
    const rounds = quick ? 5 : 100
    const settleMs = quick ? 3_000 : 20_000
    await using cluster = await benchCluster(nodes)
    let turn = 0
    const measure = async (what: string, count: number): Promise<(string | number)[][]> => {
      const all: number[] = []
      const last: number[] = []
      for (const end = turn + count; turn < end; turn += 1) {
        const times = await shareOne(cluster, turn)
        all.push(...times)
        last.push(Math.max(...times))
        log(
          `image ${turn}: first ${Math.min(...times).toFixed(0)} ms, last ${Math.max(...times).toFixed(0)} ms`,
        )
      }
      return [
        [`${what}: resolvable on a node`, ...spread(all)],
        [`${what}: resolvable on the last node`, ...spread(last)],
      ]
    }
    const young = await measure('just started', youngRounds)
    await delay(settleMs)
    const settled = await measure('settled', rounds)
    return {
      columns: ['cluster', 'median ms', 'p99 ms', 'longest ms'],
      rows: [...settled, ...young],
      notes: [
        `${youngRounds} images as soon as all nodes see one another, ${rounds} more after ${settleMs / 1000} s; 5 blobs each, another holder each time, real processes of built JavaScript on loopback, image-layout folders as stores.`,
        `From before the write of index.json to the answer of a node's ops API that names the holder of the tag; each node is asked every ${pollMs} ms, so the figures are up to ${pollMs} ms too high.`,
      ],
    }
  },
}
