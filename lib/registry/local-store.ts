import { LRUCache } from 'lru-cache'
import type { BlobHandle, BlobReader, GrowingBlob } from '../core/content-store.ts'
import type { Digest } from '../core/digest.ts'
import { StarlingError } from '../core/errors.ts'
import { Gate } from './gate.ts'

export interface LocalStoreLimits {
  /** Reads and opens at once. */
  readonly maxReads: number
  /** @throws StarlingError STORE_UNAVAILABLE when one takes longer */
  readonly storeTimeoutMs: number
}

/** Counts who uses a reader, so that a replaced one is closed when the last of its blobs is. */
interface ReaderUse {
  readonly reader: BlobReader
  users: number
  retired: boolean
}

/** Opened a moment ago, and shared by those who ask for the same blob meanwhile. */
interface OpenBlob {
  readonly handle: BlobHandle
  readonly use: ReaderUse
  users: number
  isKept: boolean
}

/** Each turn of the thread pool costs as much as a small blob: opening, looking at its size and closing are three. */
const keptMs = 1000
const maxKept = 64

/**
 * The content of this machine, with bounds: few reads at once, because libuv's thread pool is one for the whole process,
 * and none that waits for ever, because the folder may be on a disk that hangs.
 */
export class LocalStore {
  readonly #limits: LocalStoreLimits
  readonly #gate: Gate
  #current: ReaderUse
  /** What is gone from the store is served for a second more at most, and then by right bytes. */
  readonly #kept = new LRUCache<Digest, OpenBlob>({
    max: maxKept,
    ttl: keptMs,
    ttlAutopurge: true,
    dispose: (blob) => {
      blob.isKept = false
      this.#closeUnused(blob)
    },
  })

  constructor(reader: BlobReader, limits: LocalStoreLimits) {
    this.#limits = limits
    this.#gate = new Gate(limits.maxReads)
    this.#current = { reader, users: 0, retired: false }
  }

  /** Blobs that are open stay open. */
  setReader(reader: BlobReader): void {
    const old = this.#current
    this.#current = { reader, users: 0, retired: false }
    this.#kept.clear()
    this.#retire(old)
  }

  close(): void {
    this.#kept.clear()
    this.#retire(this.#current)
  }

  /** Undefined where the blob is not there. @throws StarlingError STORE_UNAVAILABLE */
  async open(digest: Digest): Promise<LocalBlob | undefined> {
    const kept = this.#kept.get(digest)
    if (kept !== undefined) return this.#share(digest, kept)
    const use = this.#current
    use.users++
    try {
      const opening = this.#gate.run(() => use.reader.open(digest))
      const handle = await this.#bounded(opening, (late) => void late?.close().catch(() => {}))
      if (handle === undefined) {
        this.#leave(use)
        return undefined
      }
      const blob: OpenBlob = { handle, use, users: 0, isKept: use === this.#current }
      const shared = this.#share(digest, blob)
      if (blob.isKept) this.#kept.set(digest, blob)
      return shared
    } catch (error) {
      this.#leave(use)
      throw error
    }
  }

  /** A blob that is being written; undefined where there is none. @throws StarlingError STORE_UNAVAILABLE */
  async openGrowing(digest: Digest): Promise<GrowingBlob | undefined> {
    const use = this.#current
    use.users++
    try {
      const opening = this.#gate.run(async () => use.reader.openGrowing?.(digest))
      const blob = await this.#bounded(opening, (late) => void late?.close().catch(() => {}))
      if (blob === undefined) {
        this.#leave(use)
        return undefined
      }
      return {
        look: () => this.#bounded(this.#gate.run(() => blob.look())),
        read: (target, offset) => this.#bounded(this.#gate.run(() => blob.read(target, offset))),
        close: async () => {
          this.#leave(use)
          await blob.close()
        },
      }
    } catch (error) {
      this.#leave(use)
      throw error
    }
  }

  /** Other work on files, within the same bounds. @throws StarlingError STORE_UNAVAILABLE */
  run<T>(work: () => Promise<T>): Promise<T> {
    return this.#bounded(this.#gate.run(work))
  }

  #share(digest: Digest, blob: OpenBlob): LocalBlob {
    const { handle } = blob
    const forget = (): void => {
      if (this.#kept.peek(digest) === blob) this.#kept.delete(digest)
    }
    blob.users++
    return new LocalBlob(handle, {
      read: async (target, offset) => {
        try {
          const count = await this.#bounded(this.#gate.run(() => handle.read(target, offset)))
          if (count === 0) forget()
          return count
        } catch (error) {
          forget()
          throw error
        }
      },
      onClose: () => {
        blob.users--
        this.#closeUnused(blob)
      },
    })
  }

  #closeUnused(blob: OpenBlob): void {
    if (blob.isKept || blob.users > 0) return
    void blob.handle.close().catch(() => {})
    this.#leave(blob.use)
  }

  #retire(use: ReaderUse): void {
    use.retired = true
    if (use.users === 0) void use.reader.close().catch(() => {})
  }

  #leave(use: ReaderUse): void {
    use.users--
    if (use.retired && use.users === 0) void use.reader.close().catch(() => {})
  }

  #bounded<T>(work: Promise<T>, onLate: (value: T) => void = () => {}): Promise<T> {
    const { storeTimeoutMs } = this.#limits
    return new Promise((resolve, reject) => {
      let late = false
      const timer = setTimeout(() => {
        late = true
        reject(
          new StarlingError('STORE_UNAVAILABLE', `the content store gave nothing for ${storeTimeoutMs} ms`),
        )
      }, storeTimeoutMs)
      work.then(
        (value) => {
          clearTimeout(timer)
          if (late) onLate(value)
          else resolve(value)
        },
        (error: unknown) => {
          clearTimeout(timer)
          reject(error as Error)
        },
      )
    })
  }
}

/** A blob of the local store that is open. */
export class LocalBlob {
  readonly sizeBytes: number
  /** `BlobHandle.stamp`; empty where the store has none. */
  readonly stamp: string
  readonly #hooks: { read: BlobHandle['read']; onClose: () => void }
  #closed = false

  constructor(
    handle: Pick<BlobHandle, 'sizeBytes' | 'stamp'>,
    hooks: { read: BlobHandle['read']; onClose: () => void },
  ) {
    this.sizeBytes = handle.sizeBytes
    this.stamp = handle.stamp ?? ''
    this.#hooks = hooks
  }

  /** @throws StarlingError STORE_UNAVAILABLE when it takes too long: the target must not be used again then */
  read(target: Uint8Array, offset: number): Promise<number> {
    return this.#hooks.read(target, offset)
  }

  /** All of it. Undefined where it is shorter than it was. */
  async readAll(): Promise<Uint8Array | undefined> {
    const bytes = new Uint8Array(this.sizeBytes)
    for (let offset = 0; offset < bytes.length; ) {
      const count = await this.read(bytes.subarray(offset), offset)
      if (count === 0) return undefined
      offset += count
    }
    return bytes
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#hooks.onClose()
  }
}
