interface Entry {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
}

/** A binary heap of what is to happen; equal times keep the order in which they were added. */
export class EventQueue {
  readonly #heap: Entry[] = []
  #added = 0

  get size(): number {
    return this.#heap.length
  }

  /** Virtual time of the next entry; undefined where there is none. */
  nextMs(): number | undefined {
    return this.#heap[0]?.atMs
  }

  push(atMs: number, run: () => void): void {
    const heap = this.#heap
    const entry = { atMs, order: this.#added++, run }
    let index = heap.length
    heap.push(entry)
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!before(entry, heap[parent]!)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = entry
  }

  pop(): Entry | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (!before(heap[child]!, last)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = last
    return first
  }
}

function before(one: Entry, other: Entry): boolean {
  return one.atMs === other.atMs ? one.order < other.order : one.atMs < other.atMs
}
