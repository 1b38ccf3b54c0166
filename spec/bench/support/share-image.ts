import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { WhereView } from '../../../lib/core/ops-view.ts'
import { LayoutWriter } from '../../../lib/oci-layout/writer.ts'
import type { ClusterNode } from '../../support/cluster/node-process.ts'
import type { Cluster } from '../../support/cluster.ts'
import { buildArtifact } from '../../support/oci-image.ts'
import { registry } from './bench-cluster.ts'

/** Each node that is asked is asked so often. */
export const pollMs = 40
/** No more nodes are asked about one image: questions take the processor from what is measured. */
const maxAsked = 12
const givenUpMs = 30_000

/** Asks a node until a tag leads to a holder; resolves with the time of that answer. */
async function whenResolvable(
  node: ClusterNode,
  name: string,
  firstAfterMs: number,
  startedMs: number,
): Promise<number> {
  // The polls of all nodes must not fall together.
  await delay(firstAfterMs)
  for (;;) {
    const { digest, holders } = await node.ops<WhereView>(`where/${name}`)
    const nowMs = performance.now()
    if (digest !== null && holders.length > 0) return nowMs
    if (nowMs - startedMs > givenUpMs) throw new Error(`${node.name} does not know ${name}`)
    await delay(pollMs)
  }
}

/** Puts one image of five blobs into a node's store; the milliseconds that others took to know who has it, each time others. */
export async function shareOne(cluster: Cluster, holder: ClusterNode, turn: number): Promise<number[]> {
  const image = await buildArtifact({ seed: `propagation ${turn}`, sizes: [1000, 2000, 3000] })
  const writer = await LayoutWriter.open(join(holder.dir, 'oci'))
  for (const [digest, blob] of image.blobs) await writer.addBlob(blob.bytes(), digest)
  await delay(300 + ((turn * 37) % 100))
  const name = `${registry}/bench/propagation:${turn}`
  const startedMs = performance.now()
  const others = cluster.nodes.filter((node) => node !== holder)
  const every = Math.ceil(others.length / maxAsked)
  const asked = others.filter((_, index) => (index + turn) % every === 0)
  const waiting = asked.map((node, index) =>
    whenResolvable(node, name, (index * pollMs) / asked.length, startedMs),
  )
  await writer.putImage(name, image.root)
  return (await Promise.all(waiting)).map((knownMs) => knownMs - startedMs)
}
