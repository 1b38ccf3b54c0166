import { createHash } from 'node:crypto'
import { lstat, open, opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { forEachBounded } from '../core/bounded.ts'
import type { StoreBlob, StoreImage } from '../core/content-store.ts'
import { type Digest, digestHex, isDigest } from '../core/digest.ts'
import { systemErrorCode } from '../core/errors.ts'
import { type FindNode, isIndexMediaType, treeBounds, walkImage } from '../core/image-tree.ts'
import { type ParsedManifest, parseManifest } from '../core/manifest.ts'
import { maxManifestSizeBytes } from '../core/media-types.ts'
import { blobPath, blobsFolder, layoutBounds, openFlags } from './layout.ts'

/** What a scan found, and what the next one needs not do again. */
export interface Scan {
  readonly blobs: ReadonlyMap<Digest, StoreBlob>
  /** Manifests that images point to; they never change. `wrong` holds bytes of another digest. */
  readonly manifests: ReadonlyMap<Digest, ParsedManifest | 'other' | 'wrong'>
  /** The folder holds more blobs, or an image more digests, than is looked at. */
  readonly truncated: boolean
}

export const emptyScan: Scan = { blobs: new Map(), manifests: new Map(), truncated: false }

/** `sha256` of no bytes: the one blob that may be empty. A blob that is being made is empty at first. */
const emptyDigest = `sha256:${createHash('sha256').digest('hex')}` as Digest

/**
 * Looks at all blobs of a layout and fills in the children of those that `images` point to. `trusted` says whether
 * the size that the last scan found still holds.
 * @throws the system error where the folder can't be read
 */
export async function scanBlobs(
  path: string,
  images: readonly StoreImage[],
  last: Scan,
  trusted: (digest: Digest) => boolean,
): Promise<Scan> {
  const blobs = new Map<Digest, StoreBlob>()
  const manifests = new Map<Digest, ParsedManifest | 'other' | 'wrong'>()
  const { digests, complete } = await listDigests(path)
  let truncated = !complete
  await forEachBounded(digests, treeBounds.concurrency, async (digest) => {
    const known = trusted(digest) ? last.blobs.get(digest) : undefined
    const sizeBytes = known?.sizeBytes ?? (await fileSize(join(blobsFolder(path), digestHex(digest))))
    if (sizeBytes === undefined || (sizeBytes === 0 && digest !== emptyDigest)) return
    blobs.set(digest, { digest, sizeBytes, sources: [], children: undefined })
  })
  const find: FindNode = async (digest, manifest) => {
    const blob = blobs.get(digest)
    if (blob === undefined || !manifest) return blob && { blob, index: false }
    const sizeBefore = last.blobs.get(digest)?.sizeBytes
    const known = sizeBefore === blob.sizeBytes ? last.manifests.get(digest) : undefined
    const parsed = manifests.get(digest) ?? known ?? (await readManifest(path, blob))
    manifests.set(digest, parsed)
    if (parsed === 'wrong') {
      blobs.delete(digest)
      return undefined
    }
    if (parsed === 'other') return { blob, index: false }
    const node = { blob: { ...blob, children: parsed.children }, index: isIndexMediaType(parsed.mediaType) }
    blobs.set(digest, node.blob)
    return node
  }
  for (const target of new Set(images.map((image) => image.target))) {
    const tree = await walkImage(target, find)
    truncated ||= tree.truncated
  }
  return { blobs, manifests, truncated }
}

/** The blobs of an image that a scan found. */
export async function imageBlobs(scan: Scan, target: Digest): Promise<readonly StoreBlob[]> {
  const tree = await walkImage(target, async (digest) => {
    const blob = scan.blobs.get(digest)
    const parsed = scan.manifests.get(digest)
    const index = typeof parsed === 'object' && isIndexMediaType(parsed.mediaType)
    return blob && { blob, index }
  })
  return tree.blobs
}

async function listDigests(path: string): Promise<{ digests: readonly Digest[]; complete: boolean }> {
  const digests: Digest[] = []
  try {
    for await (const entry of await opendir(blobsFolder(path), { bufferSize: 512 })) {
      const digest = `sha256:${entry.name}`
      if (!entry.isFile() || !isDigest(digest)) continue
      if (digests.length >= layoutBounds.maxBlobs) return { digests, complete: false }
      digests.push(digest)
    }
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error
  }
  return { digests, complete: true }
}

async function fileSize(file: string): Promise<number | undefined> {
  try {
    const stats = await lstat(file)
    return stats.isFile() ? stats.size : undefined
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Bytes of another digest are `wrong`: such a blob is not offered. Too large a blob is no manifest. */
async function readManifest(path: string, blob: StoreBlob): Promise<ParsedManifest | 'other' | 'wrong'> {
  if (blob.sizeBytes > maxManifestSizeBytes) return 'other'
  const bytes = await readWhole(blobPath(path, blob.digest), blob.sizeBytes)
  const hex = createHash('sha256').update(bytes).digest('hex')
  if (hex !== digestHex(blob.digest)) return 'wrong'
  return parseManifest(bytes) ?? 'other'
}

/** At most `sizeBytes` bytes of a file; none where it is gone. */
async function readWhole(file: string, sizeBytes: number): Promise<Uint8Array> {
  const bytes = Buffer.alloc(sizeBytes)
  let filled = 0
  try {
    await using handle = await open(file, openFlags)
    while (filled < bytes.length) {
      const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error
  }
  return bytes.subarray(0, filled)
}
