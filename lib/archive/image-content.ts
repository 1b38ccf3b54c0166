import type { Digest } from '../core/digest.ts'
import { isIndexMediaType, treeBounds } from '../core/image-tree.ts'
import type { ImageIntake, ImageTarget, Labels } from '../core/image-writer.ts'
import { isManifestMediaType, maxManifestSizeBytes } from '../core/media-types.ts'
import { type Descriptor, type Platform, parseDescriptor, parseJson } from './documents.ts'

type Source = Pick<ImageIntake, 'sizeOf' | 'readSmall'>

export interface ImageContent {
  /** Every blob, with the labels that keep its children from containerd's collector. */
  readonly blobs: ReadonlyMap<Digest, Labels>
  /** The configurations of its images, and their platforms where an index tells. */
  readonly configs: readonly { readonly digest: Digest; readonly platform: Platform | undefined }[]
}

/**
 * Walks from what a name points to over everything that is to be kept of it. Of an index, manifests of other platforms
 * than `platform` and those that are not there are left out; one must be there. A manifest must be whole.
 * @throws Error that says in one line what is wrong
 */
export async function imageContent(
  root: ImageTarget,
  source: Source,
  platform: Platform | 'all',
): Promise<ImageContent> {
  const blobs = new Map<Digest, Labels>()
  const configs: { digest: Digest; platform: Platform | undefined }[] = []

  async function keep(blob: ImageTarget, labels: Labels): Promise<void> {
    const sizeBytes = await source.sizeOf(blob.digest)
    if (sizeBytes === undefined) throw new Error(`${blob.digest} is named and is not there`)
    if (sizeBytes !== blob.sizeBytes)
      throw new Error(`${blob.digest} has ${sizeBytes} bytes, not the ${blob.sizeBytes} that are named`)
    if (blobs.size >= treeBounds.maxDigests) throw new Error('an image has too many blobs')
    blobs.set(blob.digest, { ...blobs.get(blob.digest), ...labels })
  }

  async function visit(node: Descriptor, depth: number): Promise<void> {
    if (depth > treeBounds.maxDepth) throw new Error('its indexes are nested too deep')
    const document = await readDocument(node, source)
    if (Array.isArray(document.manifests)) {
      const children = descriptors(document.manifests, node.digest)
      const labels: Record<string, string> = {}
      let kept = 0
      for (const [index, child] of children.entries()) {
        labels[`containerd.io/gc.ref.content.m.${index}`] = child.digest
        if (!matches(child.platform, platform) || (await source.sizeOf(child.digest)) === undefined) continue
        if (blobs.has(child.digest)) continue
        await visit(child, depth + 1)
        kept += 1
      }
      if (kept === 0 && children.length > 0) throw new Error('none of the wanted platforms is in it')
      await keep(node, labels)
      return
    }
    const [config] = descriptors([document.config], node.digest)
    const layers = descriptors(document.layers, node.digest)
    if (config === undefined) throw new Error(`${node.digest} is no manifest`)
    const labels: Record<string, string> = { 'containerd.io/gc.ref.content.config': config.digest }
    for (const [index, layer] of layers.entries()) {
      labels[`containerd.io/gc.ref.content.l.${index}`] = layer.digest
      await keep(layer, {})
    }
    await keep(config, {})
    await keep(node, labels)
    configs.push({ digest: config.digest, platform: node.platform })
  }

  await visit({ ...root, platform: undefined }, 0)
  return { blobs, configs }
}

async function readDocument(node: Descriptor, source: Source): Promise<Record<string, unknown>> {
  if (node.sizeBytes > maxManifestSizeBytes) throw new Error(`${node.digest} is too large for a manifest`)
  const bytes = await source.readSmall(node.digest)
  if (bytes === undefined) throw new Error(`${node.digest} is named and is not there`)
  const document = parseJson(bytes)
  const isDocument = typeof document === 'object' && document !== null && !Array.isArray(document)
  if (!isDocument || !(isManifestMediaType(node.mediaType) || isIndexMediaType(node.mediaType)))
    throw new Error(`${node.digest} is no manifest`)
  return document as Record<string, unknown>
}

function descriptors(value: unknown, of: Digest): Descriptor[] {
  if (!Array.isArray(value)) throw new Error(`${of} is no manifest`)
  return value.map((entry) => {
    const descriptor = parseDescriptor(entry)
    if (descriptor === undefined) throw new Error(`${of} names something that is no descriptor`)
    return descriptor
  })
}

/** Is it the wanted platform? What doesn't say its platform is of every one. */
export function matches(platform: Platform | undefined, wanted: Platform | 'all'): boolean {
  if (wanted === 'all' || platform === undefined) return true
  const sameVariant = wanted.variant === undefined || wanted.variant === platform.variant
  return platform.os === wanted.os && platform.architecture === wanted.architecture && sameVariant
}
