import { imageContent } from '../../archive/image-content.ts'
import type { NodeConfig } from '../../core/config.ts'
import { describeError, StarlingError } from '../../core/errors.ts'
import { imageLabels, sourceLabel } from '../../core/image-labels.ts'
import type { ImageWriter, LabelledImage } from '../../core/image-writer.ts'
import { mediaTypes } from '../../core/media-types.ts'
import { tryParseReference } from '../../core/reference.ts'
import { openWriter } from './writer.ts'

/** An image of this machine's store, as an operator of an air-gapped node looks at it. */
export interface StoreImageView {
  readonly name: string
  readonly digest: string
  readonly pinned: boolean
  /** The archive that it was imported from. */
  readonly importedFrom: string | null
  /** Imported by Starling, and its archive is no longer in the images folder: nothing keeps it. */
  readonly orphaned: boolean
  /** What is not there of it, in one line. */
  readonly missing: string | null
}

/** Images whose names are references; what CRI adds (`sha256:…`) is left out. @throws StarlingError STORE_UNAVAILABLE */
export async function storeImages(store: NodeConfig['store']): Promise<readonly StoreImageView[]> {
  return withWriter(store, async (writer) => {
    const views: StoreImageView[] = []
    for (const image of await writer.images()) {
      if (tryParseReference(image.name) === undefined) continue
      const { name, target: digest, labels } = image
      const importedFrom = labels[imageLabels.importedFrom] ?? null
      const content = await contentOf(image, writer)
      views.push({
        name,
        digest,
        pinned: labels[imageLabels.pinned] === 'pinned',
        importedFrom,
        orphaned: importedFrom !== null && labels[imageLabels.ownPin] === undefined,
        missing: typeof content === 'string' ? content : null,
      })
    }
    return views.sort((a, b) => (a.name < b.name ? -1 : 1))
  })
}

/**
 * Gives images that were loaded without labels (`ctr`, `nerdctl`) those that a pull would have set: where each blob is
 * from, and that CRI shows the image. Returns the names.
 * @throws StarlingError STORE_UNAVAILABLE
 */
export async function fixLabels(store: NodeConfig['store']): Promise<readonly string[]> {
  return withWriter(store, async (writer) => {
    const fixed: string[] = []
    for (const image of await writer.images()) {
      const reference = tryParseReference(image.name)
      if (reference === undefined || image.labels[imageLabels.managed] === 'managed') continue
      const content = await contentOf(image, writer)
      if (typeof content === 'string') continue
      const [key, repository] = sourceLabel(reference)
      for (const digest of content.blobs.keys()) await writer.labelBlob(digest, { [key]: repository })
      if (await writer.labelImage(image.name, { [imageLabels.managed]: 'managed' })) fixed.push(image.name)
    }
    return fixed.sort()
  })
}

/** What an image consists of, or why it is not whole. */
async function contentOf(image: LabelledImage, writer: ImageWriter) {
  const sizeBytes = await writer.sizeOf(image.target)
  if (sizeBytes === undefined) return `${image.target} is not there`
  const target = { mediaType: mediaTypes.ociManifest, digest: image.target, sizeBytes }
  try {
    return await imageContent(target, writer, 'all')
  } catch (error) {
    if (error instanceof StarlingError) throw error
    return describeError(error)
  }
}

async function withWriter<T>(
  store: NodeConfig['store'],
  work: (writer: ImageWriter) => Promise<T>,
): Promise<T> {
  const writer = await openWriter(store)
  try {
    return await work(writer)
  } finally {
    await writer.close()
  }
}
