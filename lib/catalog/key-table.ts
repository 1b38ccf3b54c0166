/**
 * Keys of 32 bytes, each stored once and known by a small number, in typed arrays: an open-addressing hash table
 * (linear probing, backward-shift deletion) in 256 shards that grow one at a time, and rows in chunks that never move.
 * So nothing is ever rebuilt whole, and no insertion pauses for longer than it takes to rehash one shard.
 */
const keyWords = 8
const shardCount = 256
const chunkRows = 512
const firstSlots = 4

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
    const hash = this.#hash(scratch, 0)
    const shard = this.#shards[hash >>> 24]
    if (shard === undefined) return -1
    const mask = shard.length - 1
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const id = shard[slot]! - 1
      if (id < 0 || this.#equals(id)) return id
    }
  }

  /** The number of the key at `offset`; a new one has zeros in its columns. */
  intern(bytes: Uint8Array, offset = 0): number {
    const known = this.find(bytes, offset)
    if (known >= 0) return known
    const id = this.#takeRow()
    const chunk = this.#chunk(id)
    const row = this.#row(id)
    chunk.set(scratch, row)
    chunk.fill(0, row + keyWords, row + this.#rowWords)
    const hash = this.#hash(chunk, row)
    this.#makeRoom(hash >>> 24)
    this.#place(this.#shards[hash >>> 24]!, hash, id)
    this.#shardUsed[hash >>> 24]! += 1
    this.#size += 1
    return id
  }

  /** Frees a number; it will stand for another key. */
  release(id: number): void {
    const chunk = this.#chunk(id)
    const row = this.#row(id)
    const hash = this.#hash(chunk, row)
    const shard = this.#shards[hash >>> 24]!
    const mask = shard.length - 1
    let hole = hash & mask
    while (shard[hole] !== id + 1) hole = (hole + 1) & mask
    for (let slot = (hole + 1) & mask; shard[slot] !== 0; slot = (slot + 1) & mask) {
      const other = shard[slot]! - 1
      const home = this.#hash(this.#chunk(other), this.#row(other)) & mask
      if (((slot - home) & mask) >= ((slot - hole) & mask)) {
        shard[hole] = shard[slot]!
        hole = slot
      }
    }
    shard[hole] = 0
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

  #hash(words: Uint32Array, at: number): number {
    let hash = this.#seed ^ words[at]!
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b) ^ words[at + 1]!
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35) ^ words[at + 2]!
    hash = Math.imul(hash ^ (hash >>> 16), 0x27d4eb2f) ^ words[at + 3]!
    hash = Math.imul(hash ^ (hash >>> 15), 0x165667b1)
    return (hash ^ (hash >>> 16)) >>> 0
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

  #makeRoom(index: number): void {
    const shard = this.#shards[index]
    if (shard === undefined) {
      this.#shards[index] = new Uint32Array(firstSlots)
      return
    }
    if ((this.#shardUsed[index]! + 1) * 4 <= shard.length * 3) return
    const larger = new Uint32Array(shard.length * 2)
    for (const entry of shard) {
      if (entry !== 0)
        this.#place(larger, this.#hash(this.#chunk(entry - 1), this.#row(entry - 1)), entry - 1)
    }
    this.#shards[index] = larger
  }

  #place(shard: Uint32Array, hash: number, id: number): void {
    const mask = shard.length - 1
    let slot = hash & mask
    while (shard[slot] !== 0) slot = (slot + 1) & mask
    shard[slot] = id + 1
  }
}
