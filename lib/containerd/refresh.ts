import type { StoreBlob } from '../core/content-store.ts'
import type { Digest } from '../core/digest.ts'
import { walkImage } from '../core/image-tree.ts'
import { imageKey, sameBlob } from '../core/store-view.ts'
import { awaitManifests, type SessionContext, type Tell } from './context.ts'
import { inspectBlob, inspectNode } from './inspect.ts'
import { listStore, toStoreImage } from './listing.ts'
import { manifestNode } from './manifests.ts'

/** Lists everything and tells a snapshot, unless it says nothing new and `always` is false. */
export async function refreshAll(
  context: SessionContext,
  tell: Tell,
  options: { readonly always: boolean; readonly onListed?: () => void },
): Promise<void> {
  const { images, blobs } = await listStore(context)
  options.onListed?.()
  const differences = context.view.differences(images, blobs)
  if (!options.always && differences === 0) return
  context.log.debug({ images: images.length, blobs: blobs.length, differences }, 'the store was listed')
  if (!options.always) context.metrics.count('starling_store_audit_differences_total', {}, differences)
  await tell({ type: 'snapshot', images, blobs })
}

/** Looks at one image and tells what is new about it. Resolves to true where it was deleted. */
export async function refreshImage(
  context: SessionContext,
  tell: Tell,
  namespace: string,
  name: string,
): Promise<boolean> {
  const message = await context.client.image(namespace, name)
  const image = message && toStoreImage(namespace, message)
  const told = context.view.images.get(imageKey(namespace, name))
  if (image === undefined) {
    if (told !== undefined) await tell({ type: 'image-deleted', namespace, name })
    return told !== undefined
  }
  const tree = await walkImage(image.target, inspectNode(context))
  awaitManifests(context, tree.absentManifests)
  if (tree.truncated) {
    context.log.warn(
      { image: name, target: image.target },
      'an image is too large; a part of it is not offered',
    )
  }
  if (told?.target === image.target && tree.blobs.every((blob) => isTold(context, blob))) return false
  await tell({ type: 'image-put', image, blobs: tree.blobs })
  return false
}

/**
 * Looks at one blob and tells whether it came or went. Resolves to false where it should be looked at again: its file is there
 * while no namespace of ours knows it (yet), or no label says (yet) where it came from. containerd sets that label a
 * moment after the commit, and has no event for it.
 */
export async function refreshDigest(context: SessionContext, tell: Tell, digest: Digest): Promise<boolean> {
  const found = await inspectBlob(context, digest)
  const told = context.view.blobs.get(digest)
  if (found === undefined || found === 'unknown') {
    if (told !== undefined) await tell({ type: 'blob-deleted', digest })
    return found === undefined
  }
  const isManifest = context.awaited.has(digest) || told?.children !== undefined
  const node = isManifest ? await manifestNode(context, found) : { blob: found, index: false }
  if (node === undefined) {
    if (told !== undefined) await tell({ type: 'blob-deleted', digest })
    return true
  }
  const { blob, index } = node
  if (context.awaited.delete(digest) && index) awaitManifests(context, blob.children ?? [])
  if (!isTold(context, blob)) await tell({ type: 'blob-put', blob })
  return blob.sources.length > 0
}

function isTold(context: SessionContext, blob: StoreBlob): boolean {
  const told = context.view.blobs.get(blob.digest)
  return told !== undefined && sameBlob(told, blob)
}
