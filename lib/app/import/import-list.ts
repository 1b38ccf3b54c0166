import type { Platform } from '../../archive/documents.ts'
import { type ImportProgress, planImages } from '../../archive/import-archive.ts'
import type { NodeConfig } from '../../core/config.ts'
import type { Digest } from '../../core/digest.ts'
import { StarlingError } from '../../core/errors.ts'
import type { ImageIntake, ImageTarget, ImageWriter } from '../../core/image-writer.ts'
import { parseManifest } from '../../core/manifest.ts'
import { parseReference } from '../../core/reference.ts'
import { type MirrorAddress, MirrorClient } from '../pull/mirror-client.ts'
import { pullImage } from '../pull/pull-image.ts'
import { hostPlatform } from './platform.ts'
import { readReferenceList } from './reference-list.ts'
import { openWriter } from './writer.ts'

export interface ImportListJob {
  readonly path: string
  readonly store: NodeConfig['store']
  /** Of an image that is pulled, `all` stands for that of this machine. */
  readonly platform: Platform | 'all'
  /** Undefined where this node has no mirror that could be asked. */
  readonly mirror: MirrorAddress | undefined
  /** What came of it before: these are not looked at again. */
  readonly done: readonly ListedImage[]
}

export interface ListedImage {
  readonly name: string
  readonly digest: Digest
}

export interface ImportedList {
  readonly images: readonly ListedImage[]
  /** Those that neither the store nor a node of the cluster has now. */
  readonly waiting: readonly { readonly name: string; readonly reason: string }[]
}

/**
 * Pins the images of a list of references. What the store lacks is pulled through the mirror of this machine, from other
 * nodes: Starling itself never asks a registry. Each image is stored whole or not at all.
 * @throws StarlingError REFERENCE_INVALID with the line, STORE_UNAVAILABLE, DISK_FULL, TRUST_FILE_INVALID, TRUST_FILE_UNSAFE
 */
export async function importList(
  job: ImportListJob,
  onProgress: (progress: ImportProgress) => void,
): Promise<ImportedList> {
  const names = await readReferenceList(job.path)
  const done = new Map(job.done.map((image) => [image.name, image]))
  const images: ListedImage[] = []
  const waiting: { name: string; reason: string }[] = []
  const writer = await openWriter(job.store)
  const mirror = job.mirror === undefined ? undefined : await MirrorClient.open(job.mirror)
  const progress = { readBytes: 0, totalBytes: 0 }
  const tell = () => onProgress({ ...progress, images: names.length })
  const timer = setInterval(tell, 500)
  let unreachable: string | undefined = mirror === undefined ? 'this node has no mirror' : undefined
  try {
    const stored = new Map((await writer.images()).map(({ name, target }) => [name, target]))
    for (const name of names) {
      const before = done.get(name)
      if (before !== undefined) {
        images.push(before)
        continue
      }
      try {
        const digest = await importReference(name, stored.get(name), {
          job,
          writer,
          mirror: unreachable === undefined ? mirror : undefined,
          progress,
        })
        if (digest === undefined) waiting.push({ name, reason: unreachable ?? '' })
        else images.push({ name, digest })
      } catch (error) {
        if (!(error instanceof StarlingError)) throw error
        if (error.code === 'PEER_UNREACHABLE') unreachable = error.message
        else if (error.code !== 'NOT_FOUND') throw error
        waiting.push({ name, reason: error.message })
      }
    }
    tell()
    return { images, waiting }
  } finally {
    clearInterval(timer)
    mirror?.close()
    await writer.close()
  }
}

interface Means {
  readonly job: ImportListJob
  readonly writer: ImageWriter
  readonly mirror: MirrorClient | undefined
  readonly progress: { readBytes: number; totalBytes: number }
}

/** Undefined where the store does not have it whole, and there is no mirror. */
async function importReference(
  name: string,
  stored: Digest | undefined,
  { job, writer, mirror, progress }: Means,
): Promise<Digest | undefined> {
  const { path, platform } = job
  const intake = await writer.begin()
  const host = hostPlatform()
  const publish = async (target: ImageTarget): Promise<Digest> => {
    const plan = await planImages([{ name, target }], intake, { path, platform, writer, hostPlatform: host })
    await intake.publish(plan.blobs, plan.images)
    return target.digest
  }
  try {
    const own = stored === undefined ? undefined : await targetOf(stored, intake)
    if (own !== undefined) {
      try {
        return await publish(own)
      } catch (error) {
        if (!(error instanceof StarlingError) || error.code !== 'ARCHIVE_INVALID') throw error
      }
    }
    if (mirror === undefined) return undefined
    const root = await pullImage({
      mirror,
      reference: parseReference(name),
      platform: platform === 'all' ? host : platform,
      async take(piece, bytes) {
        progress.totalBytes += piece.target.sizeBytes
        await intake.addBlob(counted(bytes, progress))
      },
    })
    return await publish(root)
  } finally {
    await intake.close()
  }
}

/** What a name in the store points to; undefined where that is not there. */
async function targetOf(digest: Digest, intake: ImageIntake): Promise<ImageTarget | undefined> {
  const bytes = await intake.readSmall(digest)
  const manifest = bytes === undefined ? undefined : parseManifest(bytes)
  if (bytes === undefined || manifest === undefined) return undefined
  return { mediaType: manifest.mediaType, digest, sizeBytes: bytes.length }
}

async function* counted(
  bytes: AsyncIterable<Uint8Array>,
  progress: { readBytes: number },
): AsyncGenerator<Uint8Array> {
  for await (const chunk of bytes) {
    progress.readBytes += chunk.length
    yield chunk
  }
}
