import { seededRng } from '../random.ts'

interface Pause {
  readonly fromMs: number
  readonly toMs: number
}

/** When nodes that share too few processors get none: spells of up to `maxMs`, about half of all time, different on each. */
export class Pauses {
  readonly #maxMs: number
  readonly #nodes: { readonly rng: ReturnType<typeof seededRng>; readonly pauses: Pause[] }[]

  constructor(nodes: number, maxMs: number, seed: number) {
    this.#maxMs = maxMs
    this.#nodes = Array.from({ length: nodes }, (_, index) => ({
      rng: seededRng(seed + 7919 * (index + 1)),
      pauses: [],
    }))
  }

  /** When a node does what is due at this time. */
  runsAt(index: number, atMs: number): number {
    const node = this.#nodes[index]
    if (this.#maxMs === 0 || node === undefined) return atMs
    const { rng, pauses } = node
    for (;;) {
      const last = pauses.at(-1)
      if (last !== undefined && last.toMs > atMs) break
      const fromMs = (last?.toMs ?? 0) + rng.next() * this.#maxMs
      pauses.push({ fromMs, toMs: fromMs + rng.next() * this.#maxMs })
    }
    return pauses.findLast(({ fromMs, toMs }) => fromMs <= atMs && atMs < toMs)?.toMs ?? atMs
  }
}
