import { createHash, randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Digest, digestHex, isDigest, parseDigest } from '../core/digest.ts'
import { StarlingError, systemErrorCode } from '../core/errors.ts'
import { mediaTypes } from '../core/media-types.ts'
import { parseReference } from '../core/reference.ts'
import { blobPath, blobsFolder, nameAnnotations, nameOf } from './layout.ts'

/** What an image's name points to (OCI image specification, "Content Descriptors"). */
export interface ImageDescriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
}

/** An image's name, what it points to, and annotations beside the name. */
export interface AnnotatedImage {
  readonly name: string
  readonly descriptor: ImageDescriptor
  readonly annotations: Readonly<Record<string, string>>
}

interface IndexDocument {
  manifests: { annotations?: unknown }[]
  [key: string]: unknown
}

/**
 * Writes an image-layout folder. Every file is written aside, synced and renamed: a crash leaves the old or the new.
 * One writer a folder: index.json has no lock.
 */
export class LayoutWriter {
  readonly #path: string
  #lastUpdate: Promise<unknown> = Promise.resolve()

  private constructor(path: string) {
    this.#path = path
  }

  /** Makes the folder and its files where they are absent. @throws StarlingError DISK_FULL, STORE_UNAVAILABLE */
  static async open(path: string): Promise<LayoutWriter> {
    const writer = new LayoutWriter(path)
    await asStoreError(path, async () => {
      await mkdir(blobsFolder(path), { recursive: true })
      await mkdir(join(path, 'ingest'), { recursive: true })
      const marker = join(path, 'oci-layout')
      const index = join(path, 'index.json')
      if (!(await exists(index))) await writer.#replace(index, indexText({ manifests: [] }))
      if (!(await exists(marker)))
        await writer.#replace(marker, JSON.stringify({ imageLayoutVersion: '1.0.0' }))
    })
    return writer
  }

  /**
   * Stores a blob and returns its size in bytes. What is there already is not written again (the source is then not
   * read). @throws StarlingError STORE_INVALID where the bytes are not those of the digest, DISK_FULL,
   * STORE_UNAVAILABLE; nothing is left behind
   */
  async addBlob(source: Uint8Array | AsyncIterable<Uint8Array>, digest: Digest): Promise<number> {
    parseDigest(digest)
    const file = blobPath(this.#path, digest)
    return asStoreError(file, async () => {
      const present = await stat(file).catch(() => undefined)
      if (present?.isFile()) return present.size
      const hash = createHash('sha256')
      let sizeBytes = 0
      await this.#writeAside(digestHex(digest), file, async (handle) => {
        for await (const piece of source instanceof Uint8Array ? [source] : source) {
          hash.update(piece)
          await writeAll(handle, piece)
          sizeBytes += piece.length
        }
        const actual = `sha256:${hash.digest('hex')}`
        if (actual !== digest)
          throw new StarlingError('STORE_INVALID', `the bytes of ${digest} have digest ${actual}`)
      })
      return sizeBytes
    })
  }

  /** Names an image, also one that had another target. @throws StarlingError REFERENCE_INVALID and as `open` */
  async putImage(name: string, descriptor: ImageDescriptor): Promise<void> {
    await this.putImages([{ name, descriptor, annotations: {} }])
  }

  /** Names several images in one step. @throws StarlingError REFERENCE_INVALID and as `open` */
  async putImages(images: readonly AnnotatedImage[]): Promise<void> {
    const entries = images.map(({ name, descriptor, annotations }) => {
      const { tag } = parseReference(name)
      const { mediaType, digest, size } = descriptor
      parseDigest(digest)
      const names = {
        [nameAnnotations.containerd]: name,
        ...(tag === undefined ? {} : { [nameAnnotations.oci]: tag }),
      }
      return { mediaType, digest, size, annotations: { ...annotations, ...names } }
    })
    const named = new Set<string | undefined>(images.map(({ name }) => name))
    await this.#update((manifests) => [
      ...manifests.filter((entry) => !named.has(nameOf(entry?.annotations))),
      ...entries,
    ])
  }

  /** Sets annotations of an image, and takes those away that are undefined. False where there is no such image. */
  async annotateImage(name: string, changes: Readonly<Record<string, string | undefined>>): Promise<boolean> {
    let found = false
    await this.#update((manifests) =>
      manifests.map((entry) => {
        if (nameOf(entry?.annotations) !== name) return entry
        found = true
        const merged = { ...(entry.annotations as Record<string, string | undefined>), ...changes }
        const kept = Object.entries(merged).filter(([, value]) => value !== undefined)
        return { ...entry, annotations: Object.fromEntries(kept) }
      }),
    )
    return found
  }

  /** The entries of index.json that point to a SHA-256 digest, with their annotations that are texts. */
  async entries(): Promise<readonly { digest: Digest; annotations: Readonly<Record<string, string>> }[]> {
    const file = join(this.#path, 'index.json')
    const { manifests } = await asStoreError(file, async () => parseIndex(await readFile(file, 'utf8'), file))
    return manifests.flatMap((entry) => {
      const digest = String((entry as { digest?: unknown } | null)?.digest)
      if (!isDigest(digest)) return []
      const texts = Object.entries(entry.annotations ?? {}).filter(([, value]) => typeof value === 'string')
      return [{ digest, annotations: Object.fromEntries(texts) as Record<string, string> }]
    })
  }

  /** Takes the name away; the blobs stay. */
  async removeImage(name: string): Promise<void> {
    await this.#update((manifests) => manifests.filter((entry) => nameOf(entry?.annotations) !== name))
  }

  /** Deletes a blob's file; does nothing where there is none. */
  async removeBlob(digest: Digest): Promise<void> {
    await rm(blobPath(this.#path, parseDigest(digest)), { force: true })
  }

  /** Changes index.json, one change after the other; what else is in it is kept. */
  #update(change: (manifests: IndexDocument['manifests']) => IndexDocument['manifests']): Promise<void> {
    const file = join(this.#path, 'index.json')
    const update = this.#lastUpdate.then(() =>
      asStoreError(file, async () => {
        const document = parseIndex(await readFile(file, 'utf8'), file)
        await this.#replace(file, indexText({ ...document, manifests: change(document.manifests) }))
      }),
    )
    this.#lastUpdate = update.catch(() => {})
    return update
  }

  #replace(file: string, text: string): Promise<void> {
    return this.#writeAside('index', file, (handle) => writeAll(handle, Buffer.from(text)))
  }

  async #writeAside(
    label: string,
    file: string,
    write: (handle: FileHandle) => Promise<void>,
  ): Promise<void> {
    const aside = join(this.#path, 'ingest', `${label}-${randomBytes(6).toString('hex')}`)
    const handle = await open(aside, 'wx', 0o644)
    try {
      await write(handle)
      await handle.sync()
      await handle.close()
      await rename(aside, file)
      await syncFolder(dirname(file))
    } catch (error) {
      await handle.close().catch(() => {})
      await rm(aside, { force: true })
      throw error
    }
  }
}

function indexText(document: IndexDocument): string {
  const { manifests, ...rest } = document
  return JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, ...rest, manifests })
}

function parseIndex(text: string, file: string): IndexDocument {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    document = undefined
  }
  if (Array.isArray((document as IndexDocument | null | undefined)?.manifests))
    return document as IndexDocument
  throw new StarlingError('STORE_INVALID', `${file} is not an index; it is left as it is`)
}

export async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, written)
    written += bytesWritten
  }
}

export async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, 'r')
  await handle.sync()
}

async function exists(file: string): Promise<boolean> {
  return (await stat(file).catch(() => undefined)) !== undefined
}

export async function asStoreError<T>(file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const code = systemErrorCode(error)
    if (error instanceof StarlingError || code === undefined) throw error
    if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG') {
      throw new StarlingError('DISK_FULL', `no room to write ${file}`, {
        hint: 'free some space',
        cause: error,
      })
    }
    throw new StarlingError('STORE_UNAVAILABLE', `${file} cannot be written: ${code}`, { cause: error })
  }
}
