import { constants } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { StoreImage } from '../core/content-store.ts'
import { type Digest, digestHex, isDigest } from '../core/digest.ts'
import { StarlingError, systemErrorCode } from '../core/errors.ts'
import { tryParseReference } from '../core/reference.ts'

/** The namespace under which images of a layout are told; a layout has none of its own. */
export const layoutNamespace = 'oci-layout'

/** Annotations that hold an image's name: containerd's with the full name, OCI's where it is a full name as well. */
export const nameAnnotations = {
  containerd: 'io.containerd.image.name',
  oci: 'org.opencontainers.image.ref.name',
} as const

/** Bounds of what is read of a layout. */
export const layoutBounds = {
  maxIndexBytes: 16 * 2 ** 20,
  maxImages: 100_000,
  maxBlobs: 500_000,
  maxLayoutFileBytes: 4096,
} as const

export function blobsFolder(path: string): string {
  return join(path, 'blobs', 'sha256')
}

export function blobPath(path: string, digest: Digest): string {
  return join(path, 'blobs', 'sha256', digestHex(digest))
}

/** Opens without following links, and without hanging on a FIFO. */
export const openFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** What an index.json says, and how many of its entries can't be used as images here. */
export interface LayoutIndex {
  readonly images: readonly StoreImage[]
  readonly skipped: number
  /** There are more images than `maxImages`; the rest is left out. */
  readonly truncated: boolean
}

/**
 * Checks that the folder is an image layout (OCI image specification, "Image Layout") and returns its version.
 * @throws StarlingError STORE_UNAVAILABLE where it is not there, STORE_INVALID where its version is not 1.x
 */
export async function readLayoutVersion(path: string): Promise<string> {
  const file = join(path, 'oci-layout')
  const text = await readBounded(file, layoutBounds.maxLayoutFileBytes)
  const version = (parseJson(text, file) as { imageLayoutVersion?: unknown } | null)?.imageLayoutVersion
  if (typeof version === 'string' && /^1\.\d{1,5}\.\d{1,5}$/.test(version)) return version
  throw new StarlingError('STORE_INVALID', `${file} does not name a version 1 of the image layout`)
}

/**
 * Reads index.json. @throws StarlingError STORE_UNAVAILABLE where it is not there, STORE_INVALID where it is half
 * written, too large or something else
 */
export async function readIndex(path: string): Promise<LayoutIndex> {
  const file = join(path, 'index.json')
  const document = parseJson(await readBounded(file, layoutBounds.maxIndexBytes), file)
  const entries = (document as { manifests?: unknown } | null)?.manifests
  if (!Array.isArray(entries)) throw new StarlingError('STORE_INVALID', `${file} has no list of manifests`)
  const images = new Map<string, StoreImage>()
  let skipped = 0
  for (const entry of entries) {
    const image = imageOf(entry)
    if (image === undefined) skipped += 1
    else if (images.size < layoutBounds.maxImages || images.has(image.name)) images.set(image.name, image)
    else return { images: [...images.values()], skipped, truncated: true }
  }
  return { images: [...images.values()], skipped, truncated: false }
}

/** Differs whenever index.json was replaced or written to. */
export async function indexStamp(path: string): Promise<string> {
  try {
    const { ino, size, mtimeNs } = await stat(join(path, 'index.json'), { bigint: true })
    return `${ino} ${size} ${mtimeNs}`
  } catch (error) {
    return systemErrorCode(error) ?? 'unknown'
  }
}

function imageOf(entry: unknown): StoreImage | undefined {
  const { digest, annotations } = (entry ?? {}) as { digest?: unknown; annotations?: unknown }
  const name = nameOf(annotations)
  if (typeof digest !== 'string' || !isDigest(digest) || name === undefined) return undefined
  return { namespace: layoutNamespace, name, target: digest }
}

/** The full name that the annotations of an entry give; undefined where there is none that can be used. */
export function nameOf(annotations: unknown): string | undefined {
  if (typeof annotations !== 'object' || annotations === null) return undefined
  const values = annotations as Readonly<Record<string, unknown>>
  const full = values[nameAnnotations.containerd]
  if (typeof full === 'string') return tryParseReference(full) === undefined ? undefined : full
  const name = values[nameAnnotations.oci]
  if (typeof name !== 'string') return undefined
  const host = name.slice(0, Math.max(0, name.indexOf('/')))
  const hasHost = host === 'localhost' || /[.:]/.test(host)
  return hasHost && tryParseReference(name) !== undefined ? name : undefined
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new StarlingError('STORE_INVALID', `${file} is not JSON, or half written`)
  }
}

/** Reads a text file of at most `maxBytes`. */
async function readBounded(file: string, maxBytes: number): Promise<string> {
  let handle: FileHandle | undefined
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
    const stats = await handle.stat()
    if (!stats.isFile()) throw new StarlingError('STORE_INVALID', `${file} is not a file`)
    if (stats.size > maxBytes)
      throw new StarlingError('STORE_INVALID', `${file} is larger than ${maxBytes} bytes`)
    const bytes = Buffer.alloc(stats.size)
    let filled = 0
    while (filled < bytes.length) {
      const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
    return bytes.toString('utf8', 0, filled)
  } catch (error) {
    if (error instanceof StarlingError) throw error
    const code = systemErrorCode(error) ?? String(error)
    const what =
      code === 'ENOENT' ? 'does not exist' : code === 'EACCES' ? 'cannot be read: permission denied' : code
    throw new StarlingError('STORE_UNAVAILABLE', `${file} ${what}`, { cause: error })
  } finally {
    await handle?.close()
  }
}
