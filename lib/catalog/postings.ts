import type { Rng } from '../core/ports.ts'
import { BlockPool, blockSizes, sizeClassFor } from './block-pool.ts'
import type { KeyTable } from './key-table.ts'
import { sampleRanks } from './sample.ts'

/** Most origins in one registry: their indexes are 16-bit numbers. */
export const maxOrigins = 65_535

/** Columns of the key table that postings need, the first two. */
export const postingColumns = 2
const refColumn = 0
const infoColumn = 1

/** The info column: number of holders, size class of the block plus one (0: no block), and whether it is a bitmap. */
const countMask = 0x1ffff
const classShift = 24
const bitmapFlag = 0x8000_0000
/** A bitmap is sampled by guesses where so many are enough, on average, to meet a live holder. */
const guessesPerHolder = 4
const maxGuesses = 100

const popCounts = Uint8Array.from({ length: 65_536 }, (_, bits) => {
  let count = 0
  for (let rest = bits; rest !== 0; rest &= rest - 1) count += 1
  return count
})

/** Is bit `index` of a mask set? A mask has 16 bits in each number. */
export function maskHas(mask: Uint16Array, index: number): boolean {
  return ((mask[index >>> 4]! >>> (index & 15)) & 1) === 1
}

/**
 * For each key of a table the origins that hold it. One holder stands in the row itself; few are an unordered list of
 * 16-bit numbers; where a bitmap is no larger than the list it is a bitmap.
 */
export class Postings {
  readonly #table: KeyTable
  readonly #pools: readonly BlockPool[] = blockSizes.map((size) => new BlockPool(size))

  constructor(table: KeyTable) {
    this.#table = table
  }

  get sizeBytes(): number {
    return this.#pools.reduce((total, pool) => total + pool.sizeBytes, 0)
  }

  /** Holders in all. */
  count(id: number): number {
    return this.#table.get(id, infoColumn) & countMask
  }

  /** Adds an origin that is not a holder yet. */
  add(id: number, origin: number): void {
    const info = this.#table.get(id, infoColumn)
    const ref = this.#table.get(id, refColumn)
    const count = info & countMask
    if (count === 0) {
      this.#store(id, origin, 1)
      return
    }
    const pool = this.#poolOf(info)
    if (pool !== undefined && info >= bitmapFlag) {
      if (origin >>> 4 < pool.blockSize || (origin >>> 4) + 1 <= count + 1) {
        this.#setBit(id, origin)
        return
      }
    } else if (pool !== undefined && count < pool.blockSize) {
      pool.page(ref)[pool.offset(ref) + count] = origin
      this.#table.set(id, infoColumn, info + 1)
      return
    }
    this.#rebuild(id, [...this.holders(id), origin])
  }

  /** Takes away an origin that is a holder. */
  remove(id: number, origin: number): void {
    const info = this.#table.get(id, infoColumn)
    const ref = this.#table.get(id, refColumn)
    const count = info & countMask
    const pool = this.#poolOf(info)
    if (pool === undefined) {
      this.#store(id, 0, 0)
      return
    }
    const page = pool.page(ref)
    const at = pool.offset(ref)
    if (info >= bitmapFlag) {
      page[at + (origin >>> 4)]! &= ~(1 << (origin & 15))
    } else {
      let position = at
      while (page[position] !== origin) position += 1
      page[position] = page[at + count - 1]!
    }
    this.#table.set(id, infoColumn, info - 1)
    if (count - 1 === 1 || (count - 1) * 4 <= pool.blockSize) this.#rebuild(id, [...this.holders(id)])
  }

  /** Every holder, in no particular order. */
  *holders(id: number): Generator<number> {
    const info = this.#table.get(id, infoColumn)
    const ref = this.#table.get(id, refColumn)
    const count = info & countMask
    const pool = this.#poolOf(info)
    if (pool === undefined) {
      if (count === 1) yield ref
      return
    }
    const page = pool.page(ref)
    const at = pool.offset(ref)
    if (info < bitmapFlag) {
      for (let position = 0; position < count; position += 1) yield page[at + position]!
      return
    }
    for (let word = 0; word < pool.blockSize; word += 1) {
      for (let bits = page[at + word]!; bits !== 0; bits &= bits - 1) {
        yield word * 16 + (31 - Math.clz32(bits & -bits))
      }
    }
  }

  /** Holders whose bit in `mask` is set. */
  countIn(id: number, mask: Uint16Array): number {
    const info = this.#table.get(id, infoColumn)
    const ref = this.#table.get(id, refColumn)
    const count = info & countMask
    const pool = this.#poolOf(info)
    if (pool === undefined) return count === 1 && maskHas(mask, ref) ? 1 : 0
    const page = pool.page(ref)
    const at = pool.offset(ref)
    let found = 0
    if (info < bitmapFlag) {
      for (let position = at; position < at + count; position += 1) {
        const origin = page[position]!
        found += (mask[origin >>> 4]! >>> (origin & 15)) & 1
      }
      return found
    }
    const words = Math.min(pool.blockSize, mask.length)
    for (let word = 0; word < words; word += 1) found += popCounts[page[at + word]! & mask[word]!]!
    return found
  }

  /** Clears the bits in `mask` of all that are no holders. */
  keepHolders(id: number, mask: Uint16Array): void {
    const info = this.#table.get(id, infoColumn)
    const pool = this.#poolOf(info)
    if (pool === undefined || info < bitmapFlag) {
      const held = [...this.holders(id)].filter((origin) => maskHas(mask, origin))
      mask.fill(0)
      for (const origin of held) mask[origin >>> 4]! |= 1 << (origin & 15)
      return
    }
    const ref = this.#table.get(id, refColumn)
    const page = pool.page(ref)
    const at = pool.offset(ref)
    const words = Math.min(pool.blockSize, mask.length)
    for (let word = 0; word < words; word += 1) mask[word]! &= page[at + word]!
    mask.fill(0, words)
  }

  /** `amount` different holders out of the `live` ones in `mask`, each set of them equally likely. */
  sample(id: number, mask: Uint16Array, live: number, amount: number, rng: Rng): number[] {
    const info = this.#table.get(id, infoColumn)
    const pool = this.#poolOf(info)
    const bits = Math.min(pool?.blockSize ?? 0, mask.length) * 16
    if (pool === undefined || info < bitmapFlag || amount * 2 > live || live * guessesPerHolder < bits) {
      return this.pick(id, mask, sampleRanks(live, amount, rng))
    }
    // Most places are holders: guessing is quicker than counting up to a rank.
    const ref = this.#table.get(id, refColumn)
    const page = pool.page(ref)
    const at = pool.offset(ref)
    const sampled: number[] = []
    for (let guesses = 0; sampled.length < amount; guesses += 1) {
      if (guesses > amount * maxGuesses) return this.pick(id, mask, sampleRanks(live, amount, rng))
      const origin = Math.floor(rng.next() * bits)
      const held = page[at + (origin >>> 4)]! & mask[origin >>> 4]!
      if (((held >>> (origin & 15)) & 1) === 1 && !sampled.includes(origin)) sampled.push(origin)
    }
    return sampled
  }

  /** The holders in `mask` with these ranks, counted from 0 in the order of the posting; ranks must ascend. */
  pick(id: number, mask: Uint16Array, ranks: readonly number[]): number[] {
    const info = this.#table.get(id, infoColumn)
    const ref = this.#table.get(id, refColumn)
    const picked: number[] = []
    const pool = this.#poolOf(info)
    if (pool === undefined) {
      if (ranks.length > 0 && (info & countMask) === 1 && maskHas(mask, ref)) picked.push(ref)
      return picked
    }
    const page = pool.page(ref)
    const at = pool.offset(ref)
    if (info < bitmapFlag) {
      const end = at + (info & countMask)
      for (let position = at, rank = 0; position < end && picked.length < ranks.length; position += 1) {
        if (!maskHas(mask, page[position]!)) continue
        if (rank === ranks[picked.length]) picked.push(page[position]!)
        rank += 1
      }
      return picked
    }
    let before = 0
    for (let word = 0; word < pool.blockSize && picked.length < ranks.length; word += 1) {
      let bits = page[at + word]! & (mask[word] ?? 0)
      const end = before + popCounts[bits]!
      if (ranks[picked.length]! >= end) {
        before = end
        continue
      }
      for (; bits !== 0 && ranks[picked.length]! < end; bits &= bits - 1) {
        if (before === ranks[picked.length]) picked.push(word * 16 + (31 - Math.clz32(bits & -bits)))
        before += 1
      }
      before = end
    }
    return picked
  }

  #poolOf(info: number): BlockPool | undefined {
    return this.#pools[((info >>> classShift) & 31) - 1]
  }

  /** Sets a bit of a bitmap, which is copied into a larger block where it is too short. */
  #setBit(id: number, origin: number): void {
    const info = this.#table.get(id, infoColumn)
    let ref = this.#table.get(id, refColumn)
    let pool = this.#poolOf(info)!
    let page = pool.page(ref)
    let at = pool.offset(ref)
    if (origin >>> 4 >= pool.blockSize) {
      const sizeClass = sizeClassFor((origin >>> 4) + 1)
      const larger = this.#pools[sizeClass]!
      const block = larger.allocate()
      const target = larger.page(block)
      const start = larger.offset(block)
      target.fill(0, start, start + larger.blockSize)
      target.set(page.subarray(at, at + pool.blockSize), start)
      this.#store(id, block, (bitmapFlag | ((sizeClass + 1) << classShift) | (info & countMask)) >>> 0)
      ref = block
      pool = larger
      page = target
      at = start
    }
    page[at + (origin >>> 4)]! |= 1 << (origin & 15)
    this.#table.set(id, infoColumn, this.#table.get(id, infoColumn) + 1)
  }

  /** Stores holders anew in the form that is smallest for them. */
  #rebuild(id: number, origins: readonly number[]): void {
    if (origins.length <= 1) {
      this.#store(id, origins[0] ?? 0, origins.length)
      return
    }
    const bitmapNumbers = (Math.max(...origins) >>> 4) + 1
    const asBitmap = bitmapNumbers <= origins.length
    const sizeClass = sizeClassFor(asBitmap ? bitmapNumbers : origins.length)
    const pool = this.#pools[sizeClass]!
    const block = pool.allocate()
    const page = pool.page(block)
    const at = pool.offset(block)
    if (asBitmap) {
      page.fill(0, at, at + pool.blockSize)
      for (const origin of origins) page[at + (origin >>> 4)]! |= 1 << (origin & 15)
    } else {
      page.set(origins, at)
    }
    const flag = asBitmap ? bitmapFlag : 0
    this.#store(id, block, (flag | ((sizeClass + 1) << classShift) | origins.length) >>> 0)
  }

  #store(id: number, ref: number, info: number): void {
    this.#poolOf(this.#table.get(id, infoColumn))?.release(this.#table.get(id, refColumn))
    this.#table.set(id, refColumn, ref)
    this.#table.set(id, infoColumn, info)
  }
}
