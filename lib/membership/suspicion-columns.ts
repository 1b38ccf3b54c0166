import { grown, grownSize } from './columns.ts'
import { maxAccusers } from './messages.ts'

/**
 * The suspicions that run as columns, indexed by slots that are used again: 20 bytes and up to four accusers of 4 bytes
 * each. A third of ten thousand members dead at once are 3,000 of them at each of 7,000 nodes, of a simulation in one
 * heap.
 */
export class SuspicionColumns {
  readonly #slots = new Map<number, number>()
  readonly #free: number[] = []
  isStalled = new Uint8Array(0)
  /** Monotonic milliseconds. */
  startedMs = new Float64Array(0)
  /** When it ends, in steps; infinite before that was said. */
  due = new Float64Array(0)
  postponed = new Uint8Array(0)
  /** So many of its accusers, from the first on, were refused by its host. */
  refused = new Uint8Array(0)
  #accusers = new Uint32Array(0)
  #accuserCount = new Uint8Array(0)

  get size(): number {
    return this.#slots.size
  }

  /** Who is suspected, and in which slot that is kept. */
  get slots(): ReadonlyMap<number, number> {
    return this.#slots
  }

  /** A slot for this member, the one that it has or another; what is in it is old. */
  open(member: number): number {
    const slot = this.#slots.get(member) ?? this.#free.pop() ?? this.#slots.size
    this.#slots.set(member, slot)
    this.#grow(slot)
    return slot
  }

  close(member: number): void {
    const slot = this.#slots.get(member)
    if (slot === undefined) return
    this.#slots.delete(member)
    this.#free.push(slot)
  }

  accuserCount(slot: number): number {
    return this.#accuserCount[slot]!
  }

  accusersOf(slot: number): number[] {
    const start = maxAccusers * slot
    const accusers: number[] = []
    for (let at = start; at < start + this.#accuserCount[slot]!; at++) accusers.push(this.#accusers[at]!)
    return accusers
  }

  /** Those beyond `maxAccusers` are left out. */
  setAccusers(slot: number, accusers: readonly number[], refused: number): void {
    const kept = accusers.slice(0, maxAccusers)
    this.#accusers.set(kept, maxAccusers * slot)
    this.#accuserCount[slot] = kept.length
    this.refused[slot] = refused
  }

  #grow(slot: number): void {
    if (slot < this.isStalled.length) return
    const size = grownSize(this.isStalled.length, slot)
    this.isStalled = grown(this.isStalled, new Uint8Array(size))
    this.startedMs = grown(this.startedMs, new Float64Array(size))
    this.due = grown(this.due, new Float64Array(size))
    this.postponed = grown(this.postponed, new Uint8Array(size))
    this.refused = grown(this.refused, new Uint8Array(size))
    this.#accusers = grown(this.#accusers, new Uint32Array(maxAccusers * size))
    this.#accuserCount = grown(this.#accuserCount, new Uint8Array(size))
  }
}
