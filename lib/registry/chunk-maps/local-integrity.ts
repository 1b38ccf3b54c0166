import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import { isMappable, pieceSizeBytes } from '../../core/chunk-map.ts'
import type { Digest } from '../../core/digest.ts'
import type { Metrics } from '../../core/ports.ts'
import type { LocalBlob, LocalStore } from '../local-store.ts'
import { blockSizeBytes, type LocalMap, LocalMapMaker } from './local-map.ts'
import type { MapFolder } from './map-folder.ts'

/** Blobs without a map are hashed before their first byte leaves up to this size. */
const maxHashedFirstSizeBytes = 64 * 2 ** 20
/** Less than a requester waits for a second map. */
const maxAwaitMs = 1200
const awaitPollMs = 100
const maxCachedBytes = 4 * 2 ** 20

/** How the bytes of one blob are held against what they must be. */
export type BlobGuard =
  | { readonly kind: 'map'; readonly local: LocalMap }
  /** It fits into one piece: all of it was read, and its digest is right. */
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** No map yet: a whole body is hashed as it leaves, a part can't be checked. */
  | { readonly kind: 'none' }
  | { readonly kind: 'damaged' }
  | { readonly kind: 'unreadable' }

export interface LocalIntegrityOptions {
  readonly store: LocalStore
  readonly folder: MapFolder
  readonly metrics: Metrics
  /** Told once for each request that met it: the bytes of the blob are not those of its digest. */
  readonly onDamaged: (digest: Digest) => void
  /** The blob has no map: one should be made soon. */
  readonly onUnmapped: (digest: Digest) => void
}

/** Knows of the blobs of this node what their bytes must be. */
export class LocalIntegrity {
  readonly #options: LocalIntegrityOptions
  readonly #maps = new LRUCache<Digest, LocalMap>({
    maxSize: maxCachedBytes,
    sizeCalculation: ({ map, blocks }) => 2 * map.pieces.length + blocks.byteLength + 256,
  })
  readonly #making = new Map<Digest, Promise<LocalMap | 'damaged' | 'unreadable'>>()

  constructor(options: LocalIntegrityOptions) {
    this.#options = options
  }

  /** Never rejects. */
  async guard(digest: Digest, blob: LocalBlob): Promise<BlobGuard> {
    if (blob.sizeBytes <= pieceSizeBytes) return readWhole(digest, blob)
    if (!isMappable(blob.sizeBytes)) return { kind: 'none' }
    const known = await this.find(digest, blob)
    if (known !== undefined) return { kind: 'map', local: known }
    if (blob.sizeBytes > maxHashedFirstSizeBytes) return { kind: 'none' }
    let making = this.#making.get(digest)
    if (making === undefined) {
      making = hashBlob(digest, blob).finally(() => this.#making.delete(digest))
      this.#making.set(digest, making)
      this.count('hashed-first')
    }
    const made = await making
    if (made === 'damaged' || made === 'unreadable') return { kind: made }
    this.keep(made)
    return { kind: 'map', local: made }
  }

  /**
   * The map of a blob that is too large to be hashed while somebody waits for its first byte: a new one is being hashed in the
   * background, and is waited for a moment. Without it a requester could not tell who of two holders lies.
   */
  async awaitMap(digest: Digest, blob: LocalBlob, signal: AbortSignal): Promise<LocalMap | undefined> {
    for (let waitedMs = 0; waitedMs < maxAwaitMs && !signal.aborted; waitedMs += awaitPollMs) {
      await delay(awaitPollMs)
      const found = await this.find(digest, blob)
      if (found !== undefined) return found
    }
    return undefined
  }

  /** The map of a blob as it is now; undefined where there is none that is bound to its size and its time. */
  async find(digest: Digest, blob: LocalBlob): Promise<LocalMap | undefined> {
    const fits = (local: LocalMap | undefined): boolean =>
      local !== undefined && local.map.sizeBytes === blob.sizeBytes && local.stamp === blob.stamp
    const cached = this.#maps.get(digest)
    if (fits(cached)) return cached
    const { store, folder } = this.#options
    const loaded = await store.run(() => folder.load(digest)).catch(() => undefined)
    if (loaded === undefined || !fits(loaded)) {
      this.#options.onUnmapped(digest)
      return undefined
    }
    this.#maps.set(digest, loaded)
    return loaded
  }

  keep(local: LocalMap): void {
    this.#maps.set(local.map.digest, local)
  }

  damaged(digest: Digest): void {
    this.#maps.delete(digest)
    this.#options.onDamaged(digest)
  }

  /** How the bytes of a request were checked. */
  count(how: 'map' | 'whole' | 'hashed-first' | 'held-tail' | 'unchecked'): void {
    this.#options.metrics.count('starling_integrity_served_total', { check: how })
  }
}

async function readWhole(digest: Digest, blob: LocalBlob): Promise<BlobGuard> {
  try {
    const bytes = await blob.readAll()
    if (bytes === undefined) return { kind: 'damaged' }
    const right = `sha256:${createHash('sha256').update(bytes).digest('hex')}` === digest
    return right ? { kind: 'bytes', bytes } : { kind: 'damaged' }
  } catch {
    return { kind: 'unreadable' }
  }
}

async function hashBlob(digest: Digest, blob: LocalBlob): Promise<LocalMap | 'damaged' | 'unreadable'> {
  const maker = new LocalMapMaker(digest, blob.stamp)
  const buffer = Buffer.allocUnsafeSlow(blockSizeBytes)
  try {
    for (let offset = 0; offset < blob.sizeBytes; ) {
      const count = await blob.read(buffer, offset)
      if (count === 0) return 'damaged'
      maker.update(buffer.subarray(0, count))
      offset += count
    }
  } catch {
    return 'unreadable'
  }
  return maker.finish() ?? 'damaged'
}
