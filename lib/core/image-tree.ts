import { forEachBounded } from './bounded.ts'
import type { StoreBlob } from './content-store.ts'
import type { Digest } from './digest.ts'
import { mediaTypes } from './media-types.ts'

/** A blob that is present, and what a walk may expect of its children. */
export interface TreeNode {
  readonly blob: StoreBlob
  /** An index: its children are manifests or indexes themselves. */
  readonly index: boolean
}

/**
 * Looks a blob up. `manifest` says that it is named as a manifest or index, so that its bytes must be read for
 * its children. Undefined where it is not present.
 */
export type FindNode = (digest: Digest, manifest: boolean) => Promise<TreeNode | undefined>

export interface ImageTree {
  /** The blobs of the image that are present, each once, the target first. */
  readonly blobs: readonly StoreBlob[]
  /** Manifests and indexes that the image names and that are not present: other platforms, or still to come. */
  readonly absentManifests: readonly Digest[]
  /** The tree is larger than the bounds; what lies beyond is left out. */
  readonly truncated: boolean
}

/** Bounds of a walk: nobody's image is larger, and a hostile one must not take the node's memory. */
export const treeBounds = { maxDigests: 20_000, maxDepth: 6, concurrency: 4 } as const

export function isIndexMediaType(mediaType: string): boolean {
  return mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerList
}

/**
 * Walks from the target of an image to everything that it names (OCI image specification: index → manifests →
 * config and layers), level by level, reading manifests only.
 */
export async function walkImage(
  target: Digest,
  find: FindNode,
  bounds: { maxDigests: number; maxDepth: number; concurrency: number } = treeBounds,
): Promise<ImageTree> {
  const blobs: StoreBlob[] = []
  const absentManifests: Digest[] = []
  const seen = new Set<Digest>([target])
  let truncated = false
  let level = new Map<Digest, boolean>([[target, true]])
  for (let depth = 0; level.size > 0; depth += 1) {
    const next = new Map<Digest, boolean>()
    await forEachBounded(level, bounds.concurrency, async ([digest, manifest]) => {
      const node = await find(digest, manifest)
      if (node === undefined) {
        if (manifest) absentManifests.push(digest)
        return
      }
      blobs.push(node.blob)
      for (const child of node.blob.children ?? []) {
        if (seen.has(child)) continue
        if (seen.size >= bounds.maxDigests || depth + 1 >= bounds.maxDepth) {
          truncated = true
          break
        }
        seen.add(child)
        next.set(child, node.index)
      }
    })
    level = next
  }
  return { blobs, absentManifests, truncated }
}
