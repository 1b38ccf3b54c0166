/** Bytes that all transfers of a worker may hold for ranges whose turn has not come. */
export class TransferBudget {
  #free: number

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

  get freeBytes(): number {
    return this.#free
  }
}
