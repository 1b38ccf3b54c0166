import type { MemberDirectory } from './directory.ts'

/**
 * Whom to probe. All that may live stand in a ring, in the order of their short ids, so that it is the same on every
 * node; in each round every node looks the same distance ahead. While the nodes agree on the ring and on the round,
 * each member is probed by exactly one other in each interval: the wait for the first probe of a dead one is at most
 * two intervals, where independent choices (SWIM paper §4.3) leave one in a hundred unprobed for five. Where they
 * don't agree, it is such a choice.
 *
 * Distances follow the van der Corput sequence: within any 2^k ≥ N rounds each of them occurs, so that each
 * node probes each other one within two passes, and nodes that differ by a few members still look nearly equally far.
 */
export class ProbeRing {
  readonly #directory: MemberDirectory
  #ring = new Uint32Array(0)
  #size = 0

  constructor(directory: MemberDirectory) {
    this.#directory = directory
  }

  get size(): number {
    return this.#size
  }

  /** Takes the place of what another ring of the same directory holds. */
  copy(other: ProbeRing): void {
    this.#ring = other.#ring.slice(0, other.#size)
    this.#size = other.#size
  }

  /** Adding what is there already changes nothing. */
  add(member: number): void {
    const at = this.#rankOf(member)
    if (at < this.#size && this.#ring[at] === member) return
    if (this.#size === this.#ring.length) {
      const grown = new Uint32Array(Math.max(16, Math.ceil(1.25 * this.#size)))
      grown.set(this.#ring)
      this.#ring = grown
    }
    this.#ring.copyWithin(at + 1, at, this.#size)
    this.#ring[at] = member
    this.#size++
  }

  remove(member: number): void {
    const at = this.#rankOf(member)
    if (at >= this.#size || this.#ring[at] !== member) return
    this.#ring.copyWithin(at, at + 1, this.#size)
    this.#size--
  }

  /** Whom `self` probes in this round: the first from there on that `fits`; undefined where none does. */
  next(self: number, round: number, fits: (member: number) => boolean): number | undefined {
    if (this.#size < 2) return undefined
    const start = this.#rankOf(self) + 1 + Math.floor(vanDerCorput(round) * (this.#size - 1))
    for (let step = 0; step < this.#size; step++) {
      const member = this.#ring[(start + step) % this.#size]!
      if (member !== self && fits(member)) return member
    }
    return undefined
  }

  /** Where it stands, or would. */
  #rankOf(member: number): number {
    const shortId = this.#directory.shortIdAt(member)
    let low = 0
    let high = this.#size
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#directory.shortIdAt(this.#ring[middle]!) < shortId) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** The last 32 bits of a whole number, reversed behind the binary point: in [0, 1). */
function vanDerCorput(round: number): number {
  let bits = (round % 2 ** 32) >>> 0
  bits = ((bits >>> 1) & 0x55555555) | ((bits & 0x55555555) << 1)
  bits = ((bits >>> 2) & 0x33333333) | ((bits & 0x33333333) << 2)
  bits = ((bits >>> 4) & 0x0f0f0f0f) | ((bits & 0x0f0f0f0f) << 4)
  bits = ((bits >>> 8) & 0x00ff00ff) | ((bits & 0x00ff00ff) << 8)
  bits = (bits >>> 16) | (bits << 16)
  return (bits >>> 0) / 2 ** 32
}
