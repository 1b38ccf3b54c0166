import type { Rng } from '../core/ports.ts'
import type { MemberDirectory } from './directory.ts'
import type { Effect, Observation, TimerKind } from './events.ts'
import type { SignedRecord } from './record.ts'
import type { MembershipSettings } from './settings.ts'
import type { MemberTable } from './table.ts'

/** What the parts of one machine share. */
export class MachineContext {
  readonly settings: MembershipSettings
  readonly directory: MemberDirectory
  readonly table: MemberTable
  readonly rng: Rng
  /** This node's own number in the directory. */
  readonly self: number
  /** This node's record as others shall have it. */
  own: SignedRecord
  /** The time of the event that is handled. */
  nowMs = 0
  leaving = false
  datagrams = true
  #effects: Effect[] = []
  #token = 0

  constructor(options: {
    settings: MembershipSettings
    directory: MemberDirectory
    table: MemberTable
    rng: Rng
    self: number
    own: SignedRecord
  }) {
    this.settings = options.settings
    this.directory = options.directory
    this.table = options.table
    this.rng = options.rng
    this.self = options.self
    this.own = options.own
  }

  emit(effect: Effect): void {
    this.#effects.push(effect)
  }

  observe(what: Observation): void {
    this.#effects.push({ type: 'observed', what })
  }

  /** Asks to be called back; returns the token. */
  schedule(kind: TimerKind, afterMs: number, token = this.nextToken()): number {
    this.#effects.push({ type: 'schedule', timer: { kind, token, atMs: this.nowMs + afterMs } })
    return token
  }

  /** Never 0, and never the same within 2^32. */
  nextToken(): number {
    this.#token = (this.#token % (2 ** 32 - 1)) + 1
    return this.#token
  }

  takeEffects(): Effect[] {
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  recordOf(index: number): SignedRecord {
    return index === this.self ? this.own : this.directory.recordAt(this.table.record[index]!)
  }

  /** Up to `count` different members that `fits`, drawn evenly; looks at no more than it must. */
  sample(count: number, fits: (index: number) => boolean): number[] {
    const size = this.table.state.length
    const chosen: number[] = []
    if (size === 0) return chosen
    for (let attempt = 0; attempt < 8 * count && chosen.length < count; attempt++) {
      const index = Math.floor(this.rng.next() * size)
      if (this.table.stateOf(index) !== 0 && !chosen.includes(index) && fits(index)) chosen.push(index)
    }
    if (chosen.length === count) return chosen
    const rest = [...this.table.indexes()].filter((index) => !chosen.includes(index) && fits(index))
    while (chosen.length < count && rest.length > 0) {
      const [index] = rest.splice(Math.floor(this.rng.next() * rest.length), 1)
      if (index !== undefined) chosen.push(index)
    }
    return chosen
  }
}
