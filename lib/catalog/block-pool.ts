/**
 * Blocks of 16-bit numbers in a few sizes, cut from pages, so that a small list costs no object of its own.
 * A freed block is chained to the next free one by its first two numbers.
 */
const pageNumbers = 4096

/** Sizes of blocks; between one and the next lies a third or a half, so that little is wasted. */
export const blockSizes: readonly number[] = [
  2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096,
]

/** The smallest size class that holds `numbers`. */
export function sizeClassFor(numbers: number): number {
  return blockSizes.findIndex((size) => size >= numbers)
}

/** All blocks of one size. */
export class BlockPool {
  readonly blockSize: number
  readonly #perPage: number
  readonly #pages: Uint16Array[] = []
  #blocks = 0
  #free = -1

  constructor(blockSize: number) {
    this.blockSize = blockSize
    this.#perPage = Math.floor(pageNumbers / blockSize)
  }

  get sizeBytes(): number {
    return this.#pages.length * this.#perPage * this.blockSize * 2
  }

  /** The number of a block; what it holds is undefined. */
  allocate(): number {
    if (this.#free >= 0) {
      const block = this.#free
      const page = this.page(block)
      const at = this.offset(block)
      this.#free = page[at]! + page[at + 1]! * 65_536 - 1
      return block
    }
    if (this.#blocks === this.#pages.length * this.#perPage) {
      this.#pages.push(new Uint16Array(this.#perPage * this.blockSize))
    }
    this.#blocks += 1
    return this.#blocks - 1
  }

  release(block: number): void {
    const page = this.page(block)
    const at = this.offset(block)
    const next = this.#free + 1
    page[at] = next & 0xffff
    page[at + 1] = Math.floor(next / 65_536)
    this.#free = block
  }

  page(block: number): Uint16Array {
    return this.#pages[Math.floor(block / this.#perPage)]!
  }

  /** Where the block begins in its page. */
  offset(block: number): number {
    return (block % this.#perPage) * this.blockSize
  }
}
