interface Entry<Owner> {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
  readonly owner: Owner | undefined
}

/**
 * A binary heap of what is to happen, and to whom; equal times keep the order in which they were added. Ten thousand
 * nodes have millions of entries.
 */
export class EventQueue<Owner> {
  readonly #heap: Entry<Owner>[] = []
  #added = 0

  get size(): number {
    return this.#heap.length
  }

  /** Virtual time of the next entry; undefined where there is none. */
  nextMs(): number | undefined {
    return this.#heap[0]?.atMs
  }

  push(atMs: number, run: () => void, owner?: Owner): void {
    const heap = this.#heap
    const entry = { atMs, order: this.#added++, run, owner }
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

  pop(): Entry<Owner> | undefined {
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

function before(one: Entry<unknown>, other: Entry<unknown>): boolean {
  return one.atMs === other.atMs ? one.order < other.order : one.atMs < other.atMs
}
