import type { BigIntStats } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { BlobHandle, BlobReader, BlobSource } from '../core/content-store.ts'
import { type Digest, parseDigest } from '../core/digest.ts'
import { StarlingError, systemErrorCode } from '../core/errors.ts'
import { blobPath, openFlags } from './layout.ts'

/** Reads blobs of an image-layout folder by file descriptor. */
export function createOciLayoutReader(source: BlobSource & { kind: 'oci-layout' }): BlobReader {
  return new OciLayoutReader(source.path)
}

class OciLayoutReader implements BlobReader {
  readonly #path: string
  readonly #open = new Set<FileBlob>()

  constructor(path: string) {
    this.#path = path
  }

  async open(digest: Digest): Promise<BlobHandle | undefined> {
    parseDigest(digest)
    let file: FileHandle | undefined
    try {
      file = await open(blobPath(this.#path, digest), openFlags)
      const stats = await file.stat({ bigint: true })
      if (stats.isFile()) {
        const blob = new FileBlob(file, stats, digest, () => this.#open.delete(blob))
        this.#open.add(blob)
        return blob
      }
      await file.close()
      return undefined
    } catch (error) {
      const code = systemErrorCode(error)
      // ELOOP: a symbolic link is not a blob.
      if (file === undefined && (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP'))
        return undefined
      await file?.close()
      throw unreadable(digest, error)
    }
  }

  /** Also closes the handles that are still open. */
  async close(): Promise<void> {
    await Promise.all([...this.#open].map((blob) => blob.close()))
  }
}

class FileBlob implements BlobHandle {
  readonly sizeBytes: number
  readonly stamp: string
  readonly #file: FileHandle
  readonly #digest: Digest
  readonly #closed: () => void

  constructor(file: FileHandle, stats: BigIntStats, digest: Digest, closed: () => void) {
    this.#file = file
    this.sizeBytes = Number(stats.size)
    this.stamp = String(stats.mtimeNs)
    this.#digest = digest
    this.#closed = closed
  }

  async read(target: Uint8Array, offset: number): Promise<number> {
    if (target.length === 0) return 0
    try {
      return (await this.#file.read(target, 0, target.length, offset)).bytesRead
    } catch (error) {
      throw unreadable(this.#digest, error)
    }
  }

  async close(): Promise<void> {
    this.#closed()
    await this.#file.close()
  }
}

function unreadable(digest: Digest, error: unknown): StarlingError {
  const reason = systemErrorCode(error) ?? String(error)
  return new StarlingError('STORE_UNAVAILABLE', `blob ${digest} cannot be read: ${reason}`, { cause: error })
}
