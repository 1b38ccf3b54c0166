import type { StoreBlob } from '../core/content-store.ts'
import type { Digest } from '../core/digest.ts'
import type { FindNode } from '../core/image-tree.ts'
import { fileSize } from './content-folder.ts'
import type { SessionContext } from './context.ts'
import { mergeSources, sourcesOf } from './labels.ts'
import { manifestNode } from './manifests.ts'

/**
 * A blob as containerd has it now: `unknown` where no namespace of ours knows it but its file is there (it belongs to
 * another namespace, or is being committed), undefined where it is not present.
 */
export async function inspectBlob(
  context: SessionContext,
  digest: Digest,
): Promise<StoreBlob | 'unknown' | undefined> {
  let found: { sizeBytes: number; sources: readonly string[] } | undefined
  for (const namespace of context.namespaces) {
    const info = await context.client.contentInfo(namespace, digest)
    if (info === undefined) continue
    const sources = mergeSources(sourcesOf(info.labels), found?.sources ?? [])
    found = { sizeBytes: info.sizeBytes, sources }
  }
  if (context.contentPath !== undefined) {
    const size = await fileSize(context.contentPath, digest)
    if (size === undefined) return undefined
    if (found === undefined) return 'unknown'
    if (size !== found.sizeBytes) {
      context.metrics.count('starling_store_skipped_total', { reason: 'wrong-size' })
      return undefined
    }
  }
  if (found === undefined) return undefined
  const parsed = context.manifests.get(digest)
  return {
    digest,
    ...found,
    children: parsed === undefined || parsed === 'other' ? undefined : parsed.children,
  }
}

/** Finds the nodes of an image's tree by asking for each blob. */
export function inspectNode(context: SessionContext): FindNode {
  return async (digest, manifest) => {
    const blob = await inspectBlob(context, digest)
    if (blob === undefined || blob === 'unknown') return undefined
    return manifest ? manifestNode(context, blob) : { blob, index: false }
  }
}
