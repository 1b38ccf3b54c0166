import { grown, grownSize } from './columns.ts'
import { isProbed } from './states.ts'

const sinceStepMs = 100

/**
 * What a node believes of each member: 17 bytes an entry (21 with its place in the `ProbeRing`), columns indexed by
 * the numbers of `MemberDirectory`. A state of 0 means that the identity is no member here.
 */
export class MemberTable {
  state = new Uint8Array(0)
  incarnation = new Uint32Array(0)
  /** Number of its record in the directory. */
  record = new Uint32Array(0)
  /** Monotonic time of the last change of state, in steps of 100 ms: enough for 13 years. */
  #since = new Uint32Array(0)
  /** Smoothed round-trip time; NaN before the first answer. */
  rttMs = new Float32Array(0)
  #members = 0
  #live = 0

  /** Entries in use: all states. */
  get members(): number {
    return this.#members
  }

  /** Members that are alive, suspect or stalled, this node included. */
  get live(): number {
    return this.#live
  }

  stateOf(index: number): number {
    return this.state[index] ?? 0
  }

  /** Monotonic time of the last change of state, to 100 ms. */
  sinceMs(index: number): number {
    return (this.#since[index] ?? 0) * sinceStepMs
  }

  touch(index: number, nowMs: number): void {
    this.#since[index] = Math.floor(nowMs / sinceStepMs)
  }

  /** Takes the place of what another table of the same directory holds. */
  copy(other: MemberTable): void {
    this.state = other.state.slice()
    this.incarnation = other.incarnation.slice()
    this.record = other.record.slice()
    this.#since = other.#since.slice()
    this.rttMs = other.rttMs.slice()
    this.#members = other.#members
    this.#live = other.#live
  }

  /** Sets the state; 0 removes the entry. */
  setState(index: number, state: number, nowMs: number): void {
    this.#grow(index)
    const before = this.stateOf(index)
    this.#members += Number(state !== 0) - Number(before !== 0)
    this.#live += Number(isProbed(state)) - Number(isProbed(before))
    this.state[index] = state
    this.touch(index, nowMs)
    if (before === 0) this.rttMs[index] = Number.NaN
  }

  *indexes(): Iterable<number> {
    for (let index = 0; index < this.state.length; index++) if (this.state[index] !== 0) yield index
  }

  /** Exponentially smoothed with weight 1/8, as TCP does it (RFC 6298 §2). */
  addRtt(index: number, sampleMs: number): void {
    const known = this.rttMs[index] ?? Number.NaN
    this.rttMs[index] = Number.isNaN(known) ? sampleMs : known + (sampleMs - known) / 8
  }

  #grow(index: number): void {
    if (index < this.state.length) return
    const size = grownSize(this.state.length, index)
    this.state = grown(this.state, new Uint8Array(size))
    this.incarnation = grown(this.incarnation, new Uint32Array(size))
    this.record = grown(this.record, new Uint32Array(size))
    this.#since = grown(this.#since, new Uint32Array(size))
    this.rttMs = grown(this.rttMs, new Float32Array(size))
  }
}
