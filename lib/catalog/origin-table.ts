import { type PeerId, publicKeyFromPeerId, shortIdOf } from '../core/peer-id.ts'
import type { Checkpoint } from './checkpoint.ts'
import { emptyIds, type IdSets } from './id-sets.ts'
import { maxOrigins } from './postings.ts'
import { type BucketHashes, bucketCount } from './set-hash.ts'

/** A node in one registry, and what it offers there. */
export interface OriginEntry {
  readonly peerId: PeerId
  readonly publicKey: Uint8Array
  /** See core/peer-id. */
  readonly shortId: string
  readonly shortIdBytes: Uint8Array
  /** Small number that stands for it in postings and masks. */
  readonly index: number
  live: boolean
  /** Signed state of `sets`; undefined until the origin has been heard of. */
  checkpoint: Checkpoint | undefined
  sets: IdSets
  /** Kept where hashing all of `sets` anew would take long. */
  buckets: BucketHashes | undefined
  /** `changing` while an inventory is exchanged in steps; `leaving` when it is to be forgotten after that. */
  work: 'idle' | 'changing' | 'leaving'
}

/** The origins of one registry; this node is the first of them and always live. */
export class OriginTable {
  readonly self: OriginEntry
  readonly #byPeer = new Map<PeerId, OriginEntry>()
  readonly #byShortId = new Map<string, OriginEntry>()
  readonly #byIndex: (OriginEntry | undefined)[] = []
  readonly #buckets: OriginEntry[][] = Array.from({ length: bucketCount }, () => [])
  readonly #freeIndexes: number[] = []
  #liveMask = new Uint16Array(4)
  #othersMask = new Uint16Array(4)

  constructor(self: PeerId) {
    this.self = this.add(self)!
    this.setLive(this.self, true)
  }

  /** Bit masks over indexes: all live origins, and those but this node. */
  get liveMask(): Uint16Array {
    return this.#liveMask
  }

  get othersMask(): Uint16Array {
    return this.#othersMask
  }

  get size(): number {
    return this.#byPeer.size
  }

  get(peerId: PeerId): OriginEntry | undefined {
    return this.#byPeer.get(peerId)
  }

  byShortId(shortId: string): OriginEntry | undefined {
    return this.#byShortId.get(shortId)
  }

  /** The origins whose short ids begin with these 6 bits, in the order of their short ids. */
  inBucket(bucket: number): readonly OriginEntry[] {
    return this.#buckets[bucket]!
  }

  at(index: number): OriginEntry {
    const entry = this.#byIndex[index]
    if (entry === undefined) throw new RangeError(`there is no origin ${index}`)
    return entry
  }

  all(): Iterable<OriginEntry> {
    return this.#byPeer.values()
  }

  /** Adds an origin that is not live yet. Undefined where no more fit. */
  add(peerId: PeerId): OriginEntry | undefined {
    const index = this.#freeIndexes.pop() ?? this.#byIndex.length
    if (index >= maxOrigins) return undefined
    const publicKey = publicKeyFromPeerId(peerId)
    const shortId = shortIdOf(publicKey)
    const entry: OriginEntry = {
      peerId,
      publicKey,
      shortId,
      shortIdBytes: Buffer.from(shortId, 'hex'),
      index,
      live: false,
      checkpoint: undefined,
      sets: { digests: emptyIds, tags: emptyIds },
      buckets: undefined,
      work: 'idle',
    }
    this.#byPeer.set(peerId, entry)
    this.#byShortId.set(entry.shortId, entry)
    this.#byIndex[index] = entry
    const bucket = this.#bucketOf(entry)
    bucket.splice(placeIn(bucket, shortId), 0, entry)
    return entry
  }

  /** Takes away an origin whose inventory is empty. */
  remove(entry: OriginEntry): void {
    this.setLive(entry, false)
    this.#byPeer.delete(entry.peerId)
    this.#byShortId.delete(entry.shortId)
    const bucket = this.#bucketOf(entry)
    bucket.splice(bucket.indexOf(entry), 1)
    this.#byIndex[entry.index] = undefined
    this.#freeIndexes.push(entry.index)
  }

  #bucketOf(entry: OriginEntry): OriginEntry[] {
    return this.#buckets[entry.shortIdBytes[0]! >>> 2]!
  }

  setLive(entry: OriginEntry, live: boolean): void {
    entry.live = live
    const word = entry.index >>> 4
    if (word >= this.#liveMask.length) {
      this.#liveMask = enlarged(this.#liveMask, word)
      this.#othersMask = enlarged(this.#othersMask, word)
    }
    const bit = 1 << (entry.index & 15)
    for (const mask of entry === this.self ? [this.#liveMask] : [this.#liveMask, this.#othersMask]) {
      if (live) mask[word]! |= bit
      else mask[word]! &= ~bit
    }
  }
}

/** Where a short id stands among entries that are in the order of theirs. */
function placeIn(entries: readonly OriginEntry[], shortId: string): number {
  const place = entries.findIndex((entry) => entry.shortId > shortId)
  return place === -1 ? entries.length : place
}

function enlarged(mask: Uint16Array, word: number): Uint16Array<ArrayBuffer> {
  const larger = new Uint16Array(Math.max(mask.length * 2, word + 1))
  larger.set(mask)
  return larger
}
