import { ArchiveFile } from '../../archive/archive-file.ts'
import type { Platform } from '../../archive/documents.ts'
import { type ImportedArchive, type ImportProgress, importArchive } from '../../archive/import-archive.ts'
import type { NodeConfig } from '../../core/config.ts'
import type { Digest } from '../../core/digest.ts'
import { describeError, StarlingError } from '../../core/errors.ts'
import type { ImageWriter } from '../../core/image-writer.ts'
import { openWriter } from './writer.ts'

export interface ImportFileJob {
  readonly path: string
  readonly store: NodeConfig['store']
  readonly platform: Platform | 'all'
}

/** What came of the bytes of a file before. */
export interface KnownContent {
  /** SHA-256, hexadecimal. */
  readonly sha256: string
  /** Empty where they could not be used. */
  readonly images: readonly { readonly name: string; readonly digest: Digest }[]
}

export type FileOutcome =
  | { readonly type: 'imported'; readonly archive: ImportedArchive }
  /** The bytes are known, and what came of them is still in the store. */
  | { readonly type: 'unchanged'; readonly sha256: string }
  /** `sha256` is undefined where the file can't be read to its end. */
  | { readonly type: 'refused'; readonly problem: string; readonly sha256: string | undefined }

/** The platform of this machine in OCI's words. */
export function hostPlatform(): Platform {
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch
  return { os: 'linux', architecture, variant: undefined }
}

/** `linux/amd64`, `linux/arm/v7` or `all`; undefined for anything else. */
export function parsePlatform(text: string): Platform | 'all' | undefined {
  if (text === 'all') return 'all'
  const match = /^([a-z0-9]+)\/([a-z0-9_]+)(?:\/([a-z0-9]+))?$/.exec(text)
  if (match === null) return undefined
  return { os: match[1] ?? '', architecture: match[2] ?? '', variant: match[3] }
}

/** Imports one archive into a node's store; the caller holds the lock of imports. */
export async function importFile(
  job: ImportFileJob,
  onProgress: (progress: ImportProgress) => void,
): Promise<ImportedArchive> {
  const writer = await openWriter(job.store)
  try {
    return await importArchive({ ...job, writer, hostPlatform: hostPlatform(), onProgress })
  } finally {
    await writer.close()
  }
}

/**
 * Like `importFile`, unless the bytes of the file are known, whatever its name and time say. A file that can't be used is an
 * outcome, no error.
 * @throws StarlingError STORE_UNAVAILABLE, DISK_FULL
 */
export async function importUnlessKnown(
  job: ImportFileJob & { readonly known: readonly KnownContent[] },
  onProgress: (progress: ImportProgress) => void,
): Promise<FileOutcome> {
  try {
    if (job.known.length > 0) {
      const sha256 = await hashFile(job.path)
      const same = job.known.find((content) => content.sha256 === sha256)
      if (same !== undefined && (await isStored(same.images, job.store))) return { type: 'unchanged', sha256 }
    }
    return { type: 'imported', archive: await importFile(job, onProgress) }
  } catch (error) {
    if (!(error instanceof StarlingError) || error.code !== 'ARCHIVE_INVALID') throw error
    const sha256 = await hashFile(job.path).catch(() => undefined)
    return { type: 'refused', problem: describeError(error), sha256 }
  }
}

async function hashFile(path: string): Promise<string> {
  await using file = await ArchiveFile.open(path)
  return await file.finish()
}

async function isStored(images: KnownContent['images'], store: NodeConfig['store']): Promise<boolean> {
  if (images.length === 0) return true
  const writer: ImageWriter = await openWriter(store)
  try {
    const stored = new Map((await writer.images()).map(({ name, target }) => [name, target]))
    for (const { name, digest } of images) {
      if (stored.get(name) !== digest || (await writer.sizeOf(digest)) === undefined) return false
    }
    return true
  } finally {
    await writer.close()
  }
}
