import type { StoreBlob } from '../core/content-store.ts'
import type { Digest } from '../core/digest.ts'
import { isIndexMediaType, type TreeNode } from '../core/image-tree.ts'
import { parseManifest } from '../core/manifest.ts'
import { maxManifestSizeBytes } from '../core/media-types.ts'
import type { ContainerdClient } from './client.ts'
import { isNotFound, toUnavailable } from './client.ts'
import { matchesDigest, readSmallFile } from './content-folder.ts'
import type { SessionContext } from './context.ts'

/**
 * The node of a blob that an image names as a manifest or index, with its children read. Undefined where the bytes
 * are gone or are not those of the digest: such a blob must not be offered.
 */
export async function manifestNode(context: SessionContext, blob: StoreBlob): Promise<TreeNode | undefined> {
  let parsed = context.manifests.get(blob.digest)
  if (parsed === undefined && blob.sizeBytes <= maxManifestSizeBytes) {
    const bytes = await readManifest(context, blob.digest)
    if (bytes === undefined) return undefined
    if (!matchesDigest(bytes, blob.digest)) {
      context.log.warn(
        { digest: blob.digest },
        'the bytes of a manifest are not those of its digest; it is not offered',
      )
      context.metrics.count('starling_store_skipped_total', { reason: 'wrong-digest' })
      return undefined
    }
    parsed = parseManifest(bytes) ?? 'other'
    context.manifests.set(blob.digest, parsed)
  }
  if (parsed === undefined || parsed === 'other') return { blob, index: false }
  return { blob: { ...blob, children: parsed.children }, index: isIndexMediaType(parsed.mediaType) }
}

async function readManifest(context: SessionContext, digest: Digest): Promise<Uint8Array | undefined> {
  if (context.contentPath !== undefined) return readSmallFile(context.contentPath, digest)
  for (const namespace of context.namespaces) {
    const bytes = await readSmallBlob(context.client, namespace, digest)
    if (bytes !== undefined) return bytes
  }
  return undefined
}

const readTimeoutMs = 10_000

/** A whole blob of at most 4 MiB over gRPC; undefined where it is absent or larger. */
export async function readSmallBlob(
  client: ContainerdClient,
  namespace: string,
  digest: Digest,
): Promise<Uint8Array | undefined> {
  const stream = client.read(namespace, digest, 0)
  const timer = setTimeout(() => stream.cancel(), readTimeoutMs)
  const pieces: Uint8Array[] = []
  let size = 0
  try {
    for await (const message of stream) {
      const { data } = message as { data: Uint8Array }
      size += data.length
      if (size > maxManifestSizeBytes) return undefined
      pieces.push(data)
    }
    return Buffer.concat(pieces)
  } catch (error) {
    if (isNotFound(error)) return undefined
    throw toUnavailable(error)
  } finally {
    clearTimeout(timer)
    stream.cancel()
  }
}
