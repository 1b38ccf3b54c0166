import { join } from 'node:path'
import { LayoutWriter } from '../../../lib/oci-layout/writer.ts'
import type { TestImage } from '../oci-image.ts'
import type { ClusterNode } from './node-process.ts'

/** Puts an image under a name into the OCI layout that is a node's store; the running node notices it by itself. */
export async function putImage(
  node: Pick<ClusterNode, 'dir'>,
  name: string,
  image: TestImage,
): Promise<void> {
  const writer = await LayoutWriter.open(join(node.dir, 'oci'))
  for (const [digest, blob] of image.blobs) await writer.addBlob(blob.bytes(), digest)
  await writer.putImage(name, image.root)
}
