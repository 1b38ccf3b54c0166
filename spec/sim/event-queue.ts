interface Entry<Owner> {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
  readonly owner: Owner | undefined
}

/** Buckets that are looked for one by one before all are asked which comes next. */
const stride = 64

/**
 * A calendar of what is to happen, and to whom: buckets of a millisecond, of which the one that is under way is a
 * binary heap; equal times keep the order in which they were added. Ten thousand nodes have millions of entries, and
 * one heap of all of them is a walk through memory for each.
 */
export class EventQueue<Owner> {
  /** All that comes before the end of the bucket that is under way. */
  #near: Entry<Owner>[] = []
  #bucket = -1
  readonly #far = new Map<number, Entry<Owner>[]>()
  #added = 0
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Virtual time of the next entry; undefined where there is none. */
  nextMs(): number | undefined {
    if (this.#near.length === 0) this.#open()
    return this.#near[0]?.atMs
  }

  push(atMs: number, run: () => void, owner?: Owner): void {
    const entry = { atMs, order: this.#added++, run, owner }
    this.#size++
    const bucket = Math.floor(atMs)
    if (bucket <= this.#bucket) {
      pushUp(this.#near, entry)
      return
    }
    const others = this.#far.get(bucket)
    if (others === undefined) this.#far.set(bucket, [entry])
    else others.push(entry)
  }

  pop(): Entry<Owner> | undefined {
    if (this.#near.length === 0) this.#open()
    const first = popDown(this.#near)
    if (first !== undefined) this.#size--
    return first
  }

  /** Goes on to the next bucket that holds anything. */
  #open(): void {
    if (this.#far.size === 0) return
    let next = this.#bucket + 1
    while (next <= this.#bucket + stride && !this.#far.has(next)) next++
    if (!this.#far.has(next)) {
      next = Number.POSITIVE_INFINITY
      for (const bucket of this.#far.keys()) next = Math.min(next, bucket)
    }
    this.#bucket = next
    // What is in order is a heap.
    this.#near = this.#far.get(next)!.sort(compare)
    this.#far.delete(next)
  }
}

function compare(one: Entry<unknown>, other: Entry<unknown>): number {
  return one.atMs - other.atMs || one.order - other.order
}

function pushUp<Owner>(heap: Entry<Owner>[], entry: Entry<Owner>): void {
  let index = heap.length
  heap.push(entry)
  while (index > 0) {
    const parent = (index - 1) >> 1
    if (compare(entry, heap[parent]!) >= 0) break
    heap[index] = heap[parent]!
    index = parent
  }
  heap[index] = entry
}

function popDown<Owner>(heap: Entry<Owner>[]): Entry<Owner> | undefined {
  const first = heap[0]
  const last = heap.pop()
  if (first === undefined || last === undefined || heap.length === 0) return first
  let index = 0
  for (;;) {
    let child = 2 * index + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && compare(heap[child + 1]!, heap[child]!) < 0) child++
    if (compare(heap[child]!, last) >= 0) break
    heap[index] = heap[child]!
    index = child
  }
  heap[index] = last
  return first
}
