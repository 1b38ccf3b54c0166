/** Bytes that all transfers of a worker may hold for ranges whose turn has not come, and how many transfers there are. */
export class TransferBudget {
  #free: number
  #transfers = 0

  constructor(bytes: number) {
    this.#free = bytes
  }

  reserve(bytes: number): boolean {
    if (bytes > this.#free) return false
    this.#free -= bytes
    return true
  }

  release(bytes: number): void {
    this.#free += bytes
  }

  /** A transfer begins (1) or ends (-1). */
  count(change: 1 | -1): void {
    this.#transfers += change
  }

  get transfers(): number {
    return this.#transfers
  }

  get freeBytes(): number {
    return this.#free
  }
}
