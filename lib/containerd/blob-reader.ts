import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { BlobHandle, BlobReader, BlobSource, GrowingBlob } from '../core/content-store.ts'
import { type Digest, parseDigest } from '../core/digest.ts'
import { StarlingError, systemErrorCode } from '../core/errors.ts'
import { blobPath, folderProblem } from './content-folder.ts'
import type { GrpcBlobs } from './grpc-blobs.ts'
import { IngestFolder } from './ingest-folder.ts'

/** `O_NONBLOCK`: opening a FIFO that somebody put there must not hang. */
const openFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/**
 * Reads blobs from containerd's content folder, and over gRPC where the folder is unknown or can't be read. gRPC is
 * loaded only then.
 */
export function createContainerdReader(source: BlobSource & { kind: 'containerd' }): BlobReader {
  return new ContainerdReader(source)
}

class ContainerdReader implements BlobReader {
  readonly #source: BlobSource & { kind: 'containerd' }
  readonly #open = new Set<{ close(): Promise<void> }>()
  readonly #ingests: IngestFolder | undefined
  #remote: Promise<GrpcBlobs> | undefined

  constructor(source: BlobSource & { kind: 'containerd' }) {
    this.#source = source
    this.#ingests = source.contentPath === undefined ? undefined : new IngestFolder(source.contentPath)
  }

  async open(digest: Digest): Promise<BlobHandle | undefined> {
    parseDigest(digest)
    const local = await this.#openFile(digest)
    const handle = local === 'no-folder' ? await (await this.#grpc()).open(digest) : local
    if (handle === undefined) return undefined
    const tracked: BlobHandle = {
      sizeBytes: handle.sizeBytes,
      ...(handle.stamp === undefined ? {} : { stamp: handle.stamp }),
      read: (target, offset) => handle.read(target, offset),
      close: () => {
        this.#open.delete(tracked)
        return handle.close()
      },
    }
    this.#open.add(tracked)
    return tracked
  }

  async openGrowing(digest: Digest): Promise<GrowingBlob | undefined> {
    try {
      const blob = await this.#ingests?.open(parseDigest(digest), () =>
        this.#open.delete(blob as GrowingBlob),
      )
      if (blob !== undefined) this.#open.add(blob)
      return blob
    } catch (error) {
      throw unreadable(digest, error)
    }
  }

  /** Also closes the handles that are still open. */
  async close(): Promise<void> {
    await Promise.all([...this.#open].map((handle) => handle.close()))
    const remote = await this.#remote
    remote?.close()
    this.#remote = undefined
  }

  async #openFile(digest: Digest): Promise<BlobHandle | undefined | 'no-folder'> {
    const { contentPath } = this.#source
    if (contentPath === undefined) return 'no-folder'
    let file: FileHandle
    try {
      file = await open(blobPath(contentPath, digest), openFlags)
    } catch (error) {
      const code = systemErrorCode(error)
      if (code === 'EACCES') return 'no-folder'
      if (code === 'ENOENT' || code === 'ENOTDIR')
        return (await folderProblem(contentPath)) === undefined ? undefined : 'no-folder'
      // A symbolic link is not a blob.
      if (code === 'ELOOP') return undefined
      throw unreadable(digest, error)
    }
    return fileBlob(file, digest)
  }

  #grpc(): Promise<GrpcBlobs> {
    this.#remote ??= import('./grpc-blobs.ts').then(({ GrpcBlobs: Blobs }) => new Blobs(this.#source))
    return this.#remote
  }
}

async function fileBlob(file: FileHandle, digest: Digest): Promise<BlobHandle | undefined> {
  try {
    const stats = await file.stat({ bigint: true })
    if (!stats.isFile()) {
      await file.close()
      return undefined
    }
    return {
      sizeBytes: Number(stats.size),
      stamp: String(stats.mtimeNs),
      read: async (target, offset) => {
        if (target.length === 0) return 0
        try {
          const { bytesRead } = await file.read(target, 0, target.length, offset)
          return bytesRead
        } catch (error) {
          throw unreadable(digest, error)
        }
      },
      close: () => file.close(),
    }
  } catch (error) {
    await file.close()
    throw unreadable(digest, error)
  }
}

function unreadable(digest: Digest, error: unknown): StarlingError {
  const reason = systemErrorCode(error) ?? String(error)
  return new StarlingError('STORE_UNAVAILABLE', `blob ${digest} cannot be read: ${reason}`, { cause: error })
}
