import { link, mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Digest, digestHex } from '../../../lib/core/digest.ts'
import type { ClusterNode } from '../../support/cluster/node-process.ts'
import { putImage } from '../../support/cluster/put-image.ts'
import { waitHolders } from '../../support/cluster/views.ts'
import { eventually } from '../../support/eventually.ts'
import { buildArtifact } from '../../support/oci-image.ts'

export interface SharedBlob {
  readonly digest: Digest
  readonly sizeBytes: number
  /** Path and query of the blob at any node. */
  readonly path: string
}

/** Where a node of a test keeps a blob. */
export const blobFile = (node: Pick<ClusterNode, 'dir'>, digest: Digest) =>
  join(node.dir, 'oci', 'blobs', 'sha256', digestHex(digest))

/**
 * Gives nodes one blob of random bytes, on the disk once, and waits until `viewers` know these holders and each holder has made its
 * chunk map.
 */
export async function giveBlob(
  holders: readonly ClusterNode[],
  viewers: readonly ClusterNode[],
  sizeBytes: number,
): Promise<SharedBlob> {
  const image = await buildArtifact({ seed: `shared ${sizeBytes}`, sizes: [sizeBytes] })
  const digest = [...image.blobs.values()].find(({ descriptor }) => descriptor.size === sizeBytes)?.descriptor
    .digest
  const [first, ...others] = holders
  if (digest === undefined || first === undefined) throw new Error('no blob or nobody to hold it')
  const name = `registry.test/team/shared-${sizeBytes}:1`
  const hashed = (node: ClusterNode) => node.metric('starling_integrity_hashed_bytes_total')
  const before = await Promise.all(holders.map(hashed))
  await putImage(first, name, image)
  for (const other of others) {
    const file = blobFile(other, digest)
    await mkdir(dirname(file), { recursive: true })
    await link(blobFile(first, digest), file)
    await putImage(other, name, image)
  }
  await waitHolders(viewers, digest, holders, 30_000)
  for (const [index, node] of holders.entries()) {
    const mapped = async () => ((await hashed(node)) ?? 0) - (before[index] ?? 0) >= sizeBytes
    await eventually(mapped, { what: `the chunk map of ${node.name}`, timeoutMs: 60_000, intervalMs: 100 })
  }
  return { digest, sizeBytes, path: `/v2/team/shared/blobs/${digest}?ns=registry.test` }
}
