import { forEachBounded } from '../core/bounded.ts'
import type { StoreBlob, StoreImage } from '../core/content-store.ts'
import { type Digest, isDigest } from '../core/digest.ts'
import { treeBounds, walkImage } from '../core/image-tree.ts'
import { listFolder } from './content-folder.ts'
import { awaitManifests, type SessionContext } from './context.ts'
import { mergeSources, sourcesOf } from './labels.ts'
import { manifestNode } from './manifests.ts'
import type { ImageMessage } from './protocol.ts'

/** Beyond these a store is not listed whole; what lies beyond is not offered, and a warning says so. */
export const listingBounds = { maxImages: 100_000, maxBlobs: 500_000, maxNameLength: 4096 } as const

export interface Listing {
  readonly images: readonly StoreImage[]
  readonly blobs: readonly StoreBlob[]
}

/** An image with a target that can be served, or undefined: other digest algorithms and absurd names are left out. */
export function toStoreImage(namespace: string, image: ImageMessage): StoreImage | undefined {
  const target = image.target?.digest ?? ''
  if (!isDigest(target) || image.name === '' || image.name.length > listingBounds.maxNameLength)
    return undefined
  return { namespace, name: image.name, target }
}

/**
 * Everything that the namespaces hold and that is present, children filled in by reading the manifests that images
 * point to. @throws StarlingError STORE_UNAVAILABLE, and system errors of the folder
 */
export async function listStore(context: SessionContext): Promise<Listing> {
  const images: StoreImage[] = []
  const blobs = new Map<Digest, StoreBlob>()
  let complete = true
  for (const namespace of context.namespaces) {
    for (const message of await context.client.images(namespace)) {
      const image = toStoreImage(namespace, message)
      if (image === undefined) context.metrics.count('starling_store_skipped_total', { reason: 'bad-image' })
      else if (images.length < listingBounds.maxImages) images.push(image)
      else complete = false
    }
    complete = (await listContents(context, namespace, blobs)) && complete
  }
  if (!complete) {
    context.log.warn(listingBounds, 'the store holds more than is looked at; the rest is not offered')
  }
  await dropAbsent(context, blobs)
  await readChildren(context, new Set(images.map((image) => image.target)), blobs)
  return { images, blobs: [...blobs.values()] }
}

async function listContents(
  context: SessionContext,
  namespace: string,
  blobs: Map<Digest, StoreBlob>,
): Promise<boolean> {
  for await (const { digest, sizeBytes, labels } of context.client.contents(namespace)) {
    const known = blobs.get(digest)
    if (known === undefined && blobs.size >= listingBounds.maxBlobs) return false
    const sources = mergeSources(sourcesOf(labels), known?.sources ?? [])
    blobs.set(digest, { digest, sizeBytes, sources, children: undefined })
  }
  return true
}

/** Containerd's records are one thing, its files another: what has no file is not present. */
async function dropAbsent(context: SessionContext, blobs: Map<Digest, StoreBlob>): Promise<void> {
  if (context.contentPath === undefined || blobs.size === 0) return
  const files = await listFolder(context.contentPath)
  for (const digest of blobs.keys()) {
    if (files.has(digest)) continue
    blobs.delete(digest)
    context.metrics.count('starling_store_skipped_total', { reason: 'no-file' })
  }
}

async function readChildren(
  context: SessionContext,
  targets: ReadonlySet<Digest>,
  blobs: Map<Digest, StoreBlob>,
): Promise<void> {
  context.awaited.clear()
  await forEachBounded(targets, treeBounds.concurrency, async (target) => {
    const tree = await walkImage(
      target,
      async (digest, manifest) => {
        const blob = blobs.get(digest)
        if (blob === undefined || !manifest) return blob && { blob, index: false }
        const node = await manifestNode(context, blob)
        if (node === undefined) blobs.delete(digest)
        else blobs.set(digest, node.blob)
        return node
      },
      { ...treeBounds, concurrency: 1 },
    )
    awaitManifests(context, tree.absentManifests)
    if (tree.truncated) context.log.warn({ target }, 'an image is too large; a part of it is not offered')
  })
}
