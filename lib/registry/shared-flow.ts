import type { FlowState } from '../selection/flow-limit.ts'
import type { RateCell } from '../selection/rate-limit.ts'

/** Peers are told apart by a hash of their names: those that share a cell, two of a thousand that are active at once, share a bound. */
const cells = 1024

/** Memory in which the threads of a node count together what goes to peers or comes from them. */
export interface SharedFlowMemory {
  /** Microseconds, for all and then for each cell. */
  readonly charged: SharedArrayBuffer
  /** For each thread: requests in all, and then in each cell. */
  readonly counts: SharedArrayBuffer
}

export function createFlowMemory(threads: number): SharedFlowMemory {
  return {
    charged: new SharedArrayBuffer((1 + cells) * BigInt64Array.BYTES_PER_ELEMENT),
    counts: new SharedArrayBuffer(threads * (1 + cells) * Int32Array.BYTES_PER_ELEMENT),
  }
}

/**
 * The view of one thread. Its counts are its own, and the sums are over all threads, so that those of a thread that crashed
 * are cleared when its successor begins.
 */
export class SharedFlow implements FlowState {
  readonly #charged: BigInt64Array
  readonly #counts: Int32Array
  readonly #own: number
  readonly #threads: number

  constructor(memory: SharedFlowMemory, thread: number) {
    this.#charged = new BigInt64Array(memory.charged)
    this.#counts = new Int32Array(memory.counts)
    this.#threads = this.#counts.length / (1 + cells)
    this.#own = thread * (1 + cells)
    this.#counts.fill(0, this.#own, this.#own + 1 + cells)
  }

  count(peer: string, change: 1 | 0 | -1): { total: number; ofPeer: number } {
    const cell = cellOf(peer)
    Atomics.add(this.#counts, this.#own, change)
    Atomics.add(this.#counts, this.#own + cell, change)
    return { total: this.#sum(0), ofPeer: this.#sum(cell) }
  }

  charged(peer?: string): RateCell {
    const index = peer === undefined ? 0 : cellOf(peer)
    return {
      read: () => Number(Atomics.load(this.#charged, index)) / 1000,
      replace: (before, after) => {
        const expected = microseconds(before)
        return Atomics.compareExchange(this.#charged, index, expected, microseconds(after)) === expected
      },
    }
  }

  #sum(cell: number): number {
    let sum = 0
    for (let thread = 0; thread < this.#threads; thread++) {
      sum += Atomics.load(this.#counts, thread * (1 + cells) + cell)
    }
    return sum
  }
}

function microseconds(milliseconds: number): bigint {
  return BigInt(Math.round(milliseconds * 1000))
}

/** FNV-1a of the name, as the number of a cell. */
function cellOf(peer: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < peer.length; index++) {
    hash = Math.imul(hash ^ peer.charCodeAt(index), 0x01000193)
  }
  return 1 + ((hash >>> 0) % cells)
}
