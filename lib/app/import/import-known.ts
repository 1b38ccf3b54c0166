import { ArchiveFile } from '../../archive/archive-file.ts'
import type { ImportProgress } from '../../archive/import-archive.ts'
import type { NodeConfig } from '../../core/config.ts'
import { describeError, type ErrorCode, StarlingError } from '../../core/errors.ts'
import { type ImportFileJob, importFile } from './import-file.ts'
import { type ImportListJob, importList, type ListedImage } from './import-list.ts'
import { isReferenceList } from './reference-list.ts'
import { openWriter } from './writer.ts'

/** A file of the images folder: an archive, or a list of references. */
export interface ImportJob extends ImportFileJob, ImportListJob {
  readonly known: readonly KnownContent[]
}

/** What came of the bytes of a file before. */
export interface KnownContent {
  /** SHA-256, hexadecimal. */
  readonly sha256: string
  /** Empty where they could not be used. */
  readonly images: readonly ListedImage[]
}

export type FileOutcome =
  | {
      readonly type: 'imported'
      readonly images: readonly ListedImage[]
      /** References of a list that nobody has yet. */
      readonly waiting: readonly { readonly name: string; readonly reason: string }[]
      readonly sha256: string
    }
  /** The bytes are known, and what came of them is still in the store. */
  | { readonly type: 'unchanged'; readonly sha256: string }
  /** `sha256` is undefined where the file can't be read to its end, or that would take long. */
  | { readonly type: 'refused'; readonly problem: string; readonly sha256: string | undefined }

/** What is wrong with the file itself. */
const refusals: ReadonlySet<ErrorCode> = new Set(['ARCHIVE_INVALID', 'REFERENCE_INVALID'])

/** A larger file that can't be used is not read to its end: others wait, and its size and time tell whether it changes. */
const maxRefusedBytes = 2 ** 30

/**
 * Like `importFile`, unless the bytes of the file are known, whatever its name and time say. A file that can't be used is an
 * outcome, no error.
 * @throws StarlingError STORE_UNAVAILABLE, DISK_FULL
 */
export async function importUnlessKnown(
  job: ImportJob,
  onProgress: (progress: ImportProgress) => void,
): Promise<FileOutcome> {
  try {
    if (job.known.length > 0) {
      const sha256 = await hashFile(job.path)
      const same = job.known.find((content) => content.sha256 === sha256)
      if (same !== undefined && (await isStored(same.images, job.store))) return { type: 'unchanged', sha256 }
    }
    if (isReferenceList(job.path)) {
      const sha256 = await hashFile(job.path)
      return { type: 'imported', ...(await importList(job, onProgress)), sha256 }
    }
    const { images, sha256 } = await importFile(job, onProgress)
    return { type: 'imported', images, sha256, waiting: [] }
  } catch (error) {
    if (!(error instanceof StarlingError) || !refusals.has(error.code)) throw error
    const sha256 = await hashFile(job.path, maxRefusedBytes).catch(() => undefined)
    return { type: 'refused', problem: describeError(error), sha256 }
  }
}

async function hashFile(path: string): Promise<string>
async function hashFile(path: string, maxBytes: number): Promise<string | undefined>
async function hashFile(path: string, maxBytes = Number.POSITIVE_INFINITY): Promise<string | undefined> {
  await using file = await ArchiveFile.open(path)
  return file.sizeBytes > maxBytes ? undefined : await file.finish()
}

async function isStored(images: KnownContent['images'], store: NodeConfig['store']): Promise<boolean> {
  if (images.length === 0) return true
  const writer = await openWriter(store)
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
