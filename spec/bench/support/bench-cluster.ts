import type { WhereView } from '../../../lib/core/ops-view.ts'
import { builtBin } from '../../support/built.ts'
import type { ClusterNode } from '../../support/cluster/node-process.ts'
import { putImage } from '../../support/cluster/put-image.ts'
import { type Cluster, createCluster } from '../../support/cluster.ts'
import { eventually } from '../../support/eventually.ts'
import { buildArtifact } from '../../support/oci-image.ts'

export const registry = 'registry.test'

/** Real nodes as processes of built JavaScript, as in production, each with an image-layout folder as its store. */
export async function benchCluster(nodes: number): Promise<Cluster> {
  return createCluster({ nodes, bin: await builtBin(), mirrors: [registry] })
}

export interface SharedBlob {
  readonly digest: string
  readonly sizeBytes: number
  /** Path and query of the blob at any node's registry. */
  readonly path: string
}

/** Puts one random blob into the store of a node and waits until all nodes know it. */
export async function shareBlob(
  holder: ClusterNode,
  others: readonly ClusterNode[],
  sizeBytes: number,
): Promise<SharedBlob> {
  const image = await buildArtifact({ seed: `blob of ${sizeBytes}`, sizes: [sizeBytes] })
  await putImage(holder, `${registry}/bench/blob:1`, image)
  const digest = [...image.blobs.values()].find(({ descriptor }) => descriptor.size === sizeBytes)?.descriptor
    .digest
  if (digest === undefined) throw new Error('the image has lost its blob')
  const knows = async (node: ClusterNode) =>
    (await node.ops<WhereView>(`where/${digest}`)).holders.length === 1
  await eventually(async () => (await Promise.all([holder, ...others].map(knows))).every(Boolean), {
    timeoutMs: 60_000,
    what: 'all nodes to know the blob',
  })
  return { digest, sizeBytes, path: `/v2/bench/blob/blobs/${digest}?ns=${registry}` }
}
