import { isDigest } from '../core/digest.ts'
import type { ImageIntake, StoredBlob } from '../core/image-writer.ts'
import { maxManifestSizeBytes } from '../core/media-types.ts'
import { invalidArchive, shown } from './archive-error.ts'
import type { ArchiveFile } from './archive-file.ts'
import { type TarEntry, tarEntries } from './tar-entries.ts'

export interface ArchiveBlob extends StoredBlob {
  /** How its bytes begin; tells how a layer is compressed. */
  readonly head: Uint8Array
}

/** What is in an archive; the bytes of all but the small files are in the intake. */
export interface ArchiveEntries {
  /** By name. */
  readonly blobs: ReadonlyMap<string, ArchiveBlob>
  /** What links point to, by name. */
  readonly links: ReadonlyMap<string, string>
  /** `oci-layout`, `index.json` and `manifest.json`, where they are. */
  readonly documents: ReadonlyMap<string, Uint8Array>
}

const documentNames = new Set(['oci-layout', 'index.json', 'manifest.json'])
/** What old versions of Docker put beside the layers. */
const unusedNames = /^repositories$|(?:^|\/)(?:VERSION|json)$/
const headBytes = 8
const maxLinkDepth = 8

/**
 * Reads an archive once, in whatever order it is, and stores each file of it that may be a blob. `onDocument` is told of
 * the small files as they come.
 * @throws StarlingError ARCHIVE_INVALID, and what the intake throws
 */
export async function readEntries(
  file: ArchiveFile,
  intake: ImageIntake,
  onDocument: (name: string, bytes: Uint8Array) => void = () => {},
): Promise<ArchiveEntries> {
  const blobs = new Map<string, ArchiveBlob>()
  const links = new Map<string, string>()
  const documents = new Map<string, Uint8Array>()
  for await (const entry of tarEntries(file)) {
    if (blobs.has(entry.name) || links.has(entry.name) || documents.has(entry.name)) {
      throw invalidArchive(
        file.path,
        `the entry ${shown(entry.name)} is there twice, at byte ${entry.offset} of the tar`,
      )
    }
    if (entry.type === 'link') links.set(entry.name, entry.target)
    else if (documentNames.has(entry.name)) {
      const bytes = await readDocument(file, entry)
      documents.set(entry.name, bytes)
      onDocument(entry.name, bytes)
    } else if (unusedNames.test(entry.name)) for await (const _ of entry.bytes);
    else blobs.set(entry.name, await storeBlob(file, entry, intake))
  }
  return { blobs, links, documents }
}

/** The blob of a name, through links. */
export function findBlob(entries: ArchiveEntries, name: string): ArchiveBlob | undefined {
  let path = name
  for (let depth = 0; depth < maxLinkDepth; depth += 1) {
    const target = entries.links.get(path)
    if (target === undefined) return entries.blobs.get(path)
    path = target
  }
  return undefined
}

async function readDocument(
  file: ArchiveFile,
  entry: Extract<TarEntry, { type: 'file' }>,
): Promise<Uint8Array> {
  if (entry.sizeBytes > maxManifestSizeBytes) {
    throw invalidArchive(
      file.path,
      `${entry.name} is larger than ${maxManifestSizeBytes} bytes, at byte ${entry.offset} of the tar`,
    )
  }
  const pieces: Uint8Array[] = []
  for await (const piece of entry.bytes) pieces.push(piece)
  return Buffer.concat(pieces)
}

async function storeBlob(
  file: ArchiveFile,
  entry: Extract<TarEntry, { type: 'file' }>,
  intake: ImageIntake,
): Promise<ArchiveBlob> {
  const named = entry.name.replace(/^blobs\/sha256\//, 'sha256:')
  const expected = isDigest(named) ? named : undefined
  const head = new Uint8Array(headBytes)
  let seen = 0
  const bytes = (async function* () {
    for await (const piece of entry.bytes) {
      if (seen < headBytes) head.set(piece.subarray(0, headBytes - seen), seen)
      seen += piece.length
      yield piece
    }
  })()
  const blob = await intake.addBlob(bytes)
  if (expected !== undefined && blob.digest !== expected) {
    throw invalidArchive(
      file.path,
      `the bytes of ${entry.name} have digest ${blob.digest}, at byte ${entry.offset} of the tar`,
    )
  }
  return { ...blob, head }
}
