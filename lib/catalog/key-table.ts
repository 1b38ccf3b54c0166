/**
 * Keys of 32 bytes, each stored once and known by a small number, in typed arrays: an open-addressing hash table
 * (linear probing, backward-shift deletion) in 256 shards that grow one at a time, each at another load, and rows in
 * chunks that never move. So nothing is ever rebuilt whole. A slot is a pair of words, number plus one and hash: a shard
 * grows without a look at the rows.
 */
const keyWords = 8
const shardCount = 256
const chunkRows = 512
const firstSlots = 4
/** Shard number `index` grows when it is fuller than this: between 0.55 and 0.8, spread evenly. */
const maxLoad = (index: number): number => 0.55 + (0.25 * index) / shardCount

/** Where a key's words are read to; words are big-endian numbers, so that they compare like the bytes. */
const scratch = new Uint32Array(keyWords)

function readKey(bytes: Uint8Array, offset: number): void {
  for (let word = 0; word < keyWords; word += 1) {
    const at = offset + 4 * word
    scratch[word] =
      ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  }
}

export class KeyTable {
  readonly #rowWords: number
  readonly #seed: number
  readonly #chunks: Uint32Array[] = []
  readonly #shards: (Uint32Array | undefined)[] = new Array(shardCount)
  readonly #shardUsed = new Uint32Array(shardCount)
  #rows = 0
  #size = 0
  /** Freed rows, chained by the word that held the key's first bytes. */
  #freeRow = -1

  /**
   * `extraWords` columns of 32 bits are kept beside each key. `seed` makes the places of keys unforeseeable for
   * whoever picks them.
   */
  constructor(extraWords: number, seed: number) {
    this.#rowWords = keyWords + extraWords
    this.#seed = seed | 0
  }

  /** Keys in use. */
  get size(): number {
    return this.#size
  }

  /** Bytes of all typed arrays. */
  get sizeBytes(): number {
    let total = this.#chunks.length * chunkRows * this.#rowWords * 4
    for (const shard of this.#shards) total += shard?.byteLength ?? 0
    return total
  }

  /** The number of the key at `offset`, or -1. */
  find(bytes: Uint8Array, offset = 0): number {
    readKey(bytes, offset)
    return this.#findScratch(this.#hash())
  }

  /** The number of the key at `offset`; a new one has zeros in its columns. */
  intern(bytes: Uint8Array, offset = 0): number {
    readKey(bytes, offset)
    const hash = this.#hash()
    const known = this.#findScratch(hash)
    if (known >= 0) return known
    const id = this.#takeRow()
    const chunk = this.#chunk(id)
    const row = this.#row(id)
    chunk.set(scratch, row)
    chunk.fill(0, row + keyWords, row + this.#rowWords)
    place(this.#makeRoom(hash >>> 24), hash, id + 1)
    this.#shardUsed[hash >>> 24]! += 1
    this.#size += 1
    return id
  }

  /** Frees a number; it will stand for another key. */
  release(id: number): void {
    const chunk = this.#chunk(id)
    const row = this.#row(id)
    for (let word = 0; word < keyWords; word += 1) scratch[word] = chunk[row + word]!
    const hash = this.#hash()
    const shard = this.#shards[hash >>> 24]!
    const mask = shard.length / 2 - 1
    let hole = hash & mask
    while (shard[2 * hole] !== id + 1) hole = (hole + 1) & mask
    for (let slot = (hole + 1) & mask; shard[2 * slot] !== 0; slot = (slot + 1) & mask) {
      const home = shard[2 * slot + 1]! & mask
      if (((slot - home) & mask) >= ((slot - hole) & mask)) {
        shard[2 * hole] = shard[2 * slot]!
        shard[2 * hole + 1] = shard[2 * slot + 1]!
        hole = slot
      }
    }
    shard[2 * hole] = 0
    this.#shardUsed[hash >>> 24]! -= 1
    this.#size -= 1
    chunk[row] = this.#freeRow + 1
    this.#freeRow = id
  }

  /** Column `column`, counted from 0, of a key. */
  get(id: number, column: number): number {
    return this.#chunk(id)[this.#row(id) + keyWords + column]!
  }

  set(id: number, column: number, value: number): void {
    this.#chunk(id)[this.#row(id) + keyWords + column] = value
  }

  /** The first 32 bits of a key. */
  prefix(id: number): number {
    return this.#chunk(id)[this.#row(id)]!
  }

  /** Negative, zero or positive, as key `a` stands before, at or behind key `b` in the order of bytes. */
  compare(a: number, b: number): number {
    if (a === b) return 0
    const chunkA = this.#chunk(a)
    const chunkB = this.#chunk(b)
    const rowA = this.#row(a)
    const rowB = this.#row(b)
    for (let word = 0; word < keyWords; word += 1) {
      const difference = chunkA[rowA + word]! - chunkB[rowB + word]!
      if (difference !== 0) return difference
    }
    return 0
  }

  /** Writes the 32 bytes of a key at `offset`. */
  copyKey(id: number, target: DataView, offset: number): void {
    const chunk = this.#chunk(id)
    const row = this.#row(id)
    for (let word = 0; word < keyWords; word += 1) target.setUint32(offset + 4 * word, chunk[row + word]!)
  }

  #chunk(id: number): Uint32Array {
    return this.#chunks[Math.floor(id / chunkRows)]!
  }

  #row(id: number): number {
    return (id % chunkRows) * this.#rowWords
  }

  /** The hash of the key in `scratch`. */
  #hash(): number {
    let hash = this.#seed ^ scratch[0]!
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b) ^ scratch[1]!
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35) ^ scratch[2]!
    hash = Math.imul(hash ^ (hash >>> 16), 0x27d4eb2f) ^ scratch[3]!
    hash = Math.imul(hash ^ (hash >>> 15), 0x165667b1)
    return (hash ^ (hash >>> 16)) >>> 0
  }

  #findScratch(hash: number): number {
    const shard = this.#shards[hash >>> 24]
    if (shard === undefined) return -1
    const mask = shard.length / 2 - 1
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = shard[2 * slot]!
      if (entry === 0) return -1
      if (shard[2 * slot + 1] === hash && this.#equals(entry - 1)) return entry - 1
    }
  }

  #equals(id: number): boolean {
    const chunk = this.#chunk(id)
    const row = this.#row(id)
    for (let word = 0; word < keyWords; word += 1) if (chunk[row + word] !== scratch[word]) return false
    return true
  }

  #takeRow(): number {
    if (this.#freeRow >= 0) {
      const id = this.#freeRow
      this.#freeRow = this.#chunk(id)[this.#row(id)]! - 1
      return id
    }
    if (this.#rows === this.#chunks.length * chunkRows) {
      this.#chunks.push(new Uint32Array(chunkRows * this.#rowWords))
    }
    this.#rows += 1
    return this.#rows - 1
  }

  #makeRoom(index: number): Uint32Array {
    const shard = this.#shards[index] ?? new Uint32Array(2 * firstSlots)
    const slots = shard.length / 2
    if (this.#shardUsed[index]! + 1 <= slots * maxLoad(index)) {
      this.#shards[index] = shard
      return shard
    }
    const larger = new Uint32Array(shard.length * 2)
    for (let slot = 0; slot < slots; slot += 1) {
      if (shard[2 * slot] !== 0) place(larger, shard[2 * slot + 1]!, shard[2 * slot]!)
    }
    this.#shards[index] = larger
    return larger
  }
}

function place(shard: Uint32Array, hash: number, entry: number): void {
  const mask = shard.length / 2 - 1
  let slot = hash & mask
  while (shard[2 * slot] !== 0) slot = (slot + 1) & mask
  shard[2 * slot] = entry
  shard[2 * slot + 1] = hash
}
