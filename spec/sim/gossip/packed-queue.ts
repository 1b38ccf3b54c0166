/** What happens at a node, in four numbers; one object is used for all that is taken out. */
export interface PackedEvent {
  atMs: number
  kind: number
  node: number
  peer: number
  message: number
}

/**
 * A binary heap of events in typed arrays, so that tens of millions of copies of messages fit and cost no garbage. Equal
 * times keep the order in which they were added.
 */
export class PackedQueue {
  readonly #taken: PackedEvent = { atMs: 0, kind: 0, node: 0, peer: 0, message: 0 }
  #times = new Float64Array(1024)
  #orders = new Float64Array(1024)
  /** kind, node, peer, message. */
  #parts = new Int32Array(4 * 1024)
  #size = 0
  #added = 0

  get size(): number {
    return this.#size
  }

  nextMs(): number {
    return this.#size === 0 ? Number.POSITIVE_INFINITY : this.#times[0]!
  }

  push(atMs: number, kind: number, node: number, peer: number, message: number): void {
    if (this.#size === this.#times.length) this.#grow()
    const order = this.#added++
    let index = this.#size++
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (this.#times[parent]! <= atMs) break
      this.#move(parent, index)
      index = parent
    }
    this.#times[index] = atMs
    this.#orders[index] = order
    const at = 4 * index
    this.#parts[at] = kind
    this.#parts[at + 1] = node
    this.#parts[at + 2] = peer
    this.#parts[at + 3] = message
  }

  /** The same object each time; undefined where nothing is left. */
  pop(): PackedEvent | undefined {
    if (this.#size === 0) return undefined
    const taken = this.#taken
    taken.atMs = this.#times[0]!
    taken.kind = this.#parts[0]!
    taken.node = this.#parts[1]!
    taken.peer = this.#parts[2]!
    taken.message = this.#parts[3]!
    const last = --this.#size
    const [atMs, order] = [this.#times[last]!, this.#orders[last]!]
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= last) break
      if (child + 1 < last && this.#isBefore(child + 1, this.#times[child]!, this.#orders[child]!)) child++
      if (!this.#isBefore(child, atMs, order)) break
      this.#move(child, index)
      index = child
    }
    if (last > 0) this.#move(last, index)
    return taken
  }

  #isBefore(index: number, atMs: number, order: number): boolean {
    const own = this.#times[index]!
    return own === atMs ? this.#orders[index]! < order : own < atMs
  }

  #move(from: number, to: number): void {
    this.#times[to] = this.#times[from]!
    this.#orders[to] = this.#orders[from]!
    this.#parts.copyWithin(4 * to, 4 * from, 4 * from + 4)
  }

  #grow(): void {
    const size = 2 * this.#times.length
    const [times, orders, parts] = [this.#times, this.#orders, this.#parts]
    this.#times = new Float64Array(size)
    this.#orders = new Float64Array(size)
    this.#parts = new Int32Array(4 * size)
    this.#times.set(times)
    this.#orders.set(orders)
    this.#parts.set(parts)
  }
}
