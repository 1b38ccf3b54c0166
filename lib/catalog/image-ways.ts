import type { StoreBlob } from '../core/content-store.ts'
import type { Digest } from '../core/digest.ts'

/** Nobody's index is deeper or names more platforms; a hostile one must not cost more. */
const maxDepth = 4
const maxWays = 64

/**
 * The ways in which an image can be whole: for a manifest all that it names, for an index that of each of its manifests
 * that this node has (OCI image specification: one platform is enough to run). Undefined where this node doesn't have what
 * tells: the catalog knows digests, not what they name.
 */
export function waysToBeWhole(
  target: Digest,
  find: (digest: Digest) => StoreBlob | undefined,
): readonly (readonly Digest[])[] | undefined {
  const ways = waysOf(target, find, maxDepth)
  return ways.length === 0 ? undefined : ways
}

function waysOf(
  target: Digest,
  find: (digest: Digest) => StoreBlob | undefined,
  depth: number,
): readonly (readonly Digest[])[] {
  const children = find(target)?.children
  if (children === undefined || depth === 0) return []
  const manifests = children.filter((child) => find(child)?.children !== undefined)
  if (manifests.length > 0) {
    const ways = manifests.flatMap((manifest) => waysOf(manifest, find, depth - 1))
    return ways.slice(0, maxWays).map((way) => [target, ...way])
  }
  // Without any child at hand nothing tells a manifest from an index of other platforms.
  return children.some((child) => find(child) !== undefined) ? [[target, ...children]] : []
}
