import { constants } from 'node:fs'
import { type FileHandle, open, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { LRUCache } from 'lru-cache'
import type { GrowingBlob } from '../core/content-store.ts'
import { type Digest, isDigest } from '../core/digest.ts'
import { systemErrorCode } from '../core/errors.ts'
import { blobPath } from './content-folder.ts'

const openFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
/** Downloads at once that are looked at; each pull makes about three. */
const maxIngests = 1024
const maxRefs = 4096
const readAtOnce = 32
const maxTextSizeBytes = 1024

/**
 * The downloads in progress of a containerd: `ingest/<sha256 of ref>/{ref,data,total}` of its content folder (CONTAINERD.md,
 * "Downloads in progress"). A commit renames `data` into the blobs, so that an open file stays what it was; giving
 * up deletes it.
 */
export class IngestFolder {
  readonly #contentPath: string
  /** The name of an ingest is a hash of its `ref`: what was read once holds for ever. */
  readonly #digests = new LRUCache<string, Digest | 'none'>({ max: maxRefs })

  constructor(contentPath: string) {
    this.#contentPath = contentPath
  }

  /** The blob as it grows, or as it was committed. @throws the system error where the folder can't be read */
  async open(digest: Digest, onClose: () => void): Promise<GrowingBlob | undefined> {
    const wanted = await this.#named(digest)
    const opened = await Promise.allSettled(wanted.map((id) => this.#openIngest(id, digest, onClose)))
    const files = opened.flatMap((one) => (one.status === 'fulfilled' ? (one.value ?? []) : []))
    const failed = opened.find((one) => one.status === 'rejected')
    // The same blob may be on its way into several namespaces.
    const [best, ...others] = files.sort((a, b) => b.seenBytes - a.seenBytes)
    for (const other of failed === undefined ? others : files) await other.discard()
    if (failed !== undefined) throw failed.reason
    return best ?? this.#openBlob(digest, onClose)
  }

  /** On a busy machine each file costs a turn of the scheduler: those that don't need one another are read together. */
  async #named(digest: Digest): Promise<string[]> {
    const ids = await this.#list()
    const wanted: string[] = []
    for (let first = 0; first < ids.length; first += readAtOnce) {
      const batch = ids.slice(first, first + readAtOnce)
      const digests = await Promise.all(batch.map((id) => this.#digestOf(id)))
      wanted.push(...batch.filter((_, index) => digests[index] === digest))
    }
    return wanted
  }

  async #list(): Promise<string[]> {
    try {
      const names = await readdir(join(this.#contentPath, 'ingest'))
      return names.filter((name) => /^[0-9a-f]{64}$/.test(name)).slice(0, maxIngests)
    } catch (error) {
      if (isAbsent(error)) return []
      throw error
    }
  }

  async #digestOf(id: string): Promise<Digest | 'none'> {
    const known = this.#digests.get(id)
    if (known !== undefined) return known
    const ref = await this.#text(id, 'ref')
    if (ref === undefined) return 'none'
    const named = /(?:^|[-/@])(sha256:[0-9a-f]{64})$/.exec(ref)?.[1] ?? ''
    const digest = isDigest(named) ? named : 'none'
    this.#digests.set(id, digest)
    return digest
  }

  /** A small file of an ingest; undefined where it is gone, or not written yet. */
  async #text(id: string, name: string): Promise<string | undefined> {
    try {
      const text = await readFile(join(this.#contentPath, 'ingest', id, name), {
        encoding: 'utf8',
        flag: constants.O_RDONLY | constants.O_NOFOLLOW,
      })
      return text === '' || text.length > maxTextSizeBytes ? undefined : text
    } catch (error) {
      if (isAbsent(error)) return undefined
      throw error
    }
  }

  async #openIngest(id: string, digest: Digest, onClose: () => void): Promise<IngestFile | undefined> {
    const path = join(this.#contentPath, 'ingest', id, 'data')
    const [opened, text] = await Promise.allSettled([openIfThere(path), this.#text(id, 'total')])
    if (opened.status === 'rejected') throw opened.reason
    const file = opened.value
    if (file === undefined) return undefined
    if (text.status === 'rejected') {
      await file.close()
      throw text.reason
    }
    const total = Number(text.value ?? Number.NaN)
    const ingest = new IngestFile(file, {
      path,
      blobPath: blobPath(this.#contentPath, digest),
      sizeBytes: Number.isSafeInteger(total) && total > 0 ? total : undefined,
      onClose,
    })
    await ingest.look()
    return ingest
  }

  async #openBlob(digest: Digest, onClose: () => void): Promise<GrowingBlob | undefined> {
    const path = blobPath(this.#contentPath, digest)
    const file = await openIfThere(path)
    if (file === undefined) return undefined
    return new IngestFile(file, { path: undefined, blobPath: path, sizeBytes: undefined, onClose })
  }
}

interface IngestParts {
  /** Undefined where it was committed before. */
  readonly path: string | undefined
  readonly blobPath: string
  readonly sizeBytes: number | undefined
  readonly onClose: () => void
}

class IngestFile implements GrowingBlob {
  readonly #file: FileHandle
  readonly #parts: IngestParts
  #seenBytes = 0

  constructor(file: FileHandle, parts: IngestParts) {
    this.#file = file
    this.#parts = parts
  }

  get seenBytes(): number {
    return this.#seenBytes
  }

  async look(): ReturnType<GrowingBlob['look']> {
    const { path, blobPath: committed, sizeBytes } = this.#parts
    const stats = await this.#file.stat()
    const { size } = stats
    // One that begins anew is not what was read before.
    const isCut = size < this.#seenBytes
    this.#seenBytes = Math.max(this.#seenBytes, size)
    if (path === undefined) return { state: 'done', reachedBytes: size, sizeBytes: size }
    const mayBeDone = stats.nlink === 0 || sizeBytes === undefined || size >= sizeBytes
    if (mayBeDone && !isCut && (await statOf(path))?.ino !== stats.ino) {
      if ((await statOf(committed))?.size === size)
        return { state: 'done', reachedBytes: size, sizeBytes: size }
    }
    return { state: stats.nlink === 0 || isCut ? 'gone' : 'open', reachedBytes: size, sizeBytes }
  }

  async read(target: Uint8Array, offset: number): Promise<number> {
    if (target.length === 0) return 0
    return (await this.#file.read(target, 0, target.length, offset)).bytesRead
  }

  async close(): Promise<void> {
    this.#parts.onClose()
    await this.#file.close()
  }

  /** Closes one that nobody was given. */
  async discard(): Promise<void> {
    await this.#file.close()
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    const file = await open(path, openFlags)
    if ((await file.stat()).isFile()) return file
    await file.close()
    return undefined
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}

async function statOf(path: string): Promise<{ readonly ino: number; readonly size: number } | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}

function isAbsent(error: unknown): boolean {
  const code = systemErrorCode(error)
  return code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP'
}
