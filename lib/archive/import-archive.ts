import { Readable } from 'node:stream'
import type { Digest } from '../core/digest.ts'
import { describeError, StarlingError } from '../core/errors.ts'
import { mergeSourceLabel, pinnedLabels, sourceLabel } from '../core/image-labels.ts'
import type { ImageIntake, ImageTarget, ImageWriter, Labels, NewImage } from '../core/image-writer.ts'
import { mediaTypes } from '../core/media-types.ts'
import { parseReference } from '../core/reference.ts'
import { invalidArchive, shown } from './archive-error.ts'
import { ArchiveFile } from './archive-file.ts'
import {
  annotatedName,
  dockerLayerType,
  dockerManifest,
  fullName,
  type Platform,
  parseDescriptor,
  parseDockerImages,
  parseJson,
} from './documents.ts'
import { type ImageContent, imageContent } from './image-content.ts'
import { type ArchiveEntries, findBlob, readEntries } from './read-entries.ts'

export interface ImportProgress {
  readonly readBytes: number
  readonly totalBytes: number
  /** How many images the file names; undefined until that was read. */
  readonly images: number | undefined
}

export interface ImportOptions {
  readonly path: string
  readonly writer: ImageWriter
  /** What is kept of images of several platforms. */
  readonly platform: Platform | 'all'
  /** The platform whose configuration CRI knows an image by. */
  readonly hostPlatform: Platform
  /** Told now and then, and at the end. */
  readonly onProgress?: (progress: ImportProgress) => void
}

export interface ImportedArchive {
  readonly images: readonly { readonly name: string; readonly digest: Digest }[]
  /** Entries without a name that can be used. */
  readonly unnamed: number
  readonly sizeBytes: number
  /** SHA-256 of the file, hexadecimal. */
  readonly sha256: string
}

interface Root {
  readonly name: string | undefined
  readonly target: ImageTarget
}

/**
 * Puts the images of a docker-archive or OCI archive into a store, pinned; all of it or nothing.
 * @throws StarlingError ARCHIVE_INVALID, and what the writer throws
 */
export async function importArchive(options: ImportOptions): Promise<ImportedArchive> {
  const { path, writer, onProgress } = options
  await using file = await ArchiveFile.open(path)
  const intake = await writer.begin()
  let images: number | undefined
  const tell = () => onProgress?.({ readBytes: file.position, totalBytes: file.sizeBytes, images })
  const timer = setInterval(tell, 500)
  try {
    const entries = await readEntries(file, intake, (name, bytes) => {
      images = countImages(name, bytes) ?? images
    })
    const sha256 = await file.finish()
    const roots = await findRoots(entries, file, intake)
    const named = roots.flatMap(({ name, target }) => (name === undefined ? [] : [{ name, target }]))
    if (named.length === 0) {
      throw invalidArchive(
        path,
        'no image in it has a full name',
        'save the image by its name, not by its id',
      )
    }
    const plan = await planImages(named, intake, options)
    await intake.publish(plan.blobs, plan.images)
    images = named.length
    tell()
    return {
      images: named.map(({ name, target }) => ({ name, digest: target.digest })),
      unnamed: roots.length - named.length,
      sizeBytes: file.sizeBytes,
      sha256,
    }
  } finally {
    clearInterval(timer)
    await intake.close()
  }
}

function countImages(document: string, bytes: Uint8Array): number | undefined {
  if (document === 'manifest.json') return parseDockerImages(bytes)?.length
  if (document !== 'index.json') return undefined
  const list = (parseJson(bytes) as { manifests?: unknown } | null | undefined)?.manifests
  return Array.isArray(list) ? list.length : undefined
}

/**
 * What is to be published of images whose blobs are in the intake or the store: labels of blobs, and the images under all
 * their names, pinned. @throws StarlingError ARCHIVE_INVALID where one is not whole
 */
export async function planImages(
  roots: readonly { readonly name: string; readonly target: ImageTarget }[],
  intake: ImageIntake,
  { path, platform, writer, hostPlatform }: Omit<ImportOptions, 'onProgress'>,
): Promise<{ blobs: Map<Digest, Labels>; images: NewImage[] }> {
  const blobs = new Map<Digest, Labels>()
  const images = new Map<string, NewImage>()
  const labels = pinnedLabels(path)
  for (const { name, target } of roots) {
    let content: ImageContent
    try {
      content = await imageContent(target, intake, platform)
    } catch (error) {
      if (error instanceof StarlingError) throw error
      throw invalidArchive(path, `the image ${name} cannot be used: ${describeError(error)}`)
    }
    const reference = parseReference(name)
    const [key, repository] = sourceLabel(reference)
    for (const [digest, own] of content.blobs) {
      const before = blobs.get(digest) ?? {}
      blobs.set(digest, { ...before, ...own, [key]: mergeSourceLabel(before[key], repository) })
    }
    const byDigest = `${reference.registry}/${reference.repository}@${target.digest}`
    for (const image of [name, byDigest]) images.set(image, { name: image, target, labels })
    if (writer.kind !== 'containerd') continue
    // CRI knows an image by the digest of its configuration, too.
    const own = content.configs.find(
      ({ platform: of }) =>
        of === undefined || (of.os === hostPlatform.os && of.architecture === hostPlatform.architecture),
    )
    if (own !== undefined) images.set(own.digest, { name: own.digest, target, labels })
  }
  return { blobs, images: [...images.values()] }
}

async function findRoots(entries: ArchiveEntries, file: ArchiveFile, intake: ImageIntake): Promise<Root[]> {
  const index = entries.documents.get('index.json')
  const docker = entries.documents.get('manifest.json')
  if (entries.documents.has('oci-layout') && index !== undefined) return ociRoots(index, file.path)
  if (docker !== undefined) return dockerRoots(docker, entries, file.path, intake)
  throw invalidArchive(
    file.path,
    'this is neither a docker-archive (manifest.json) nor an OCI archive (oci-layout and index.json)',
  )
}

function ociRoots(index: Uint8Array, path: string): Root[] {
  const list = (parseJson(index) as { manifests?: unknown } | null | undefined)?.manifests
  if (!Array.isArray(list)) throw invalidArchive(path, 'index.json is no index')
  return list.map((entry) => {
    const target = parseDescriptor(entry)
    if (target === undefined) throw invalidArchive(path, 'index.json names something that is no descriptor')
    const { mediaType, digest, sizeBytes } = target
    return { name: annotatedName(entry), target: { mediaType, digest, sizeBytes } }
  })
}

async function dockerRoots(
  manifest: Uint8Array,
  entries: ArchiveEntries,
  path: string,
  intake: ImageIntake,
): Promise<Root[]> {
  const images = parseDockerImages(manifest)
  if (images === undefined) throw invalidArchive(path, 'manifest.json is no list of images')
  const need = (name: string) => {
    const blob = findBlob(entries, name)
    if (blob === undefined)
      throw invalidArchive(path, `manifest.json names ${shown(name)}, which is not there`)
    return blob
  }
  const roots: Root[] = []
  for (const image of images) {
    const config = need(image.config)
    const layers = image.layers.map((name) => {
      const { digest, sizeBytes, head } = need(name)
      return { mediaType: dockerLayerType(head), digest, sizeBytes }
    })
    const blob = await intake.addBlob(Readable.from([dockerManifest(config, layers)]))
    const target = { mediaType: mediaTypes.dockerManifest, ...blob }
    if (image.names.length === 0) roots.push({ name: undefined, target })
    for (const name of image.names) roots.push({ name: fullName(name), target })
  }
  return roots
}
