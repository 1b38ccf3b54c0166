import { createHash } from 'node:crypto'
import { link, mkdir, open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Digest } from '../../../lib/core/digest.ts'
import { LayoutWriter } from '../../../lib/oci-layout/writer.ts'
import type { ClusterNode } from '../../support/cluster/node-process.ts'
import { bytesBlob } from '../../support/oci-image.ts'
import { blobFile } from './shared-blob.ts'

const pieceBytes = 2 ** 20
const artifactType = 'application/vnd.example.sparse'

/**
 * Puts a blob of `sizeBytes`, less than 1 MiB or a multiple of it, into the stores of nodes, on the disk once: each MiB begins with its number, the
 * rest are zeros that take no room on the disk. `seed` makes blobs of one size differ.
 */
export async function putSparseBlob(
  holders: readonly Pick<ClusterNode, 'dir'>[],
  sizeBytes: number,
  seed: number,
): Promise<Digest> {
  const hash = createHash('sha256')
  const piece = Buffer.alloc(Math.min(pieceBytes, sizeBytes))
  const stamp = (index: number) => {
    piece.writeUInt32LE(seed, 0)
    piece.writeUInt32LE(index + 1, 4)
    return piece
  }
  for (let index = 0; index * pieceBytes < sizeBytes; index++) hash.update(stamp(index))
  const digest = `sha256:${hash.digest('hex')}` as Digest
  const [path = '', ...others] = holders.map((node) => blobFile(node, digest))
  for (const each of [path, ...others]) await mkdir(dirname(each), { recursive: true })
  const file = await open(path, 'w')
  await file.truncate(sizeBytes)
  for (let index = 0; index * pieceBytes < sizeBytes; index++) {
    await file.write(stamp(index), 0, 8, index * pieceBytes)
  }
  await file.close()
  for (const other of others) await link(path, other)
  const config = await bytesBlob('application/vnd.oci.empty.v1+json', Buffer.from('{}'))
  const manifest = await bytesBlob(
    'application/vnd.oci.image.manifest.v1+json',
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        artifactType,
        config: config.descriptor,
        layers: [{ mediaType: artifactType, digest, size: sizeBytes }],
      }),
    ),
  )
  for (const node of holders) {
    const writer = await LayoutWriter.open(join(node.dir, 'oci'))
    for (const blob of [config, manifest]) await writer.addBlob(blob.bytes(), blob.descriptor.digest)
    await writer.putImage(`registry.test/team/sparse:${seed}`, manifest.descriptor)
  }
  return digest
}
