import type { PeerId } from '../core/peer-id.ts'
import type { Rng } from '../core/ports.ts'
import type { MemberDirectory } from './directory.ts'
import type { Effect, Observation, TimerKind } from './events.ts'
import type { SignedRecord } from './record.ts'
import type { MembershipSettings } from './settings.ts'
import type { MemberTable } from './table.ts'

/** So many of a choice that prefers the own zone are drawn from it; the rest, from all, keeps the flock connected. */
const ownZoneShare = 2 / 3
/** Draws in search of members of the own zone: enough where one in ten is. */
const zoneAttempts = 32

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
  /** Peers with an open connection; told only where there are no datagrams. */
  neighbours: readonly PeerId[] = []
  /** The cluster's clock is this much ahead of `nowMs`. */
  #clockOffsetMs = 0
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

  /**
   * A clock that the nodes share well enough to probe in turns: it begins with the oldest of them, runs with the
   * fastest, and whoever hears of a later reading takes it over. It says nothing about the time of day.
   */
  get clockMs(): number {
    return Math.max(0, Math.floor(this.nowMs + this.#clockOffsetMs))
  }

  hearClock(readingMs: number): void {
    this.#clockOffsetMs = Math.max(this.#clockOffsetMs, readingMs - this.nowMs)
  }

  /** The clock begins at 0 with this node, until it hears of others. */
  startClock(): void {
    this.#clockOffsetMs = -this.nowMs
  }

  takeEffects(): Effect[] {
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  recordOf(index: number): SignedRecord {
    return index === this.self ? this.own : this.directory.recordAt(this.table.record[index]!)
  }

  /** Up to `count` different connected members that `fits`, drawn evenly. */
  sampleConnected(count: number, fits: (index: number) => boolean): number[] {
    const rest = this.neighbours.flatMap((peerId) => {
      const index = this.directory.findPeer(peerId)
      return index !== undefined && this.table.stateOf(index) !== 0 && fits(index) ? [index] : []
    })
    return this.draw(count, rest)
  }

  /** Up to `count` of them, drawn evenly; they are taken out of `rest`. */
  draw(count: number, rest: number[]): number[] {
    const drawn: number[] = []
    while (drawn.length < count && rest.length > 0)
      drawn.push(...rest.splice(Math.floor(this.rng.next() * rest.length), 1))
    return drawn
  }

  /** Like `sample`, but most of them from this node's own zone where there are enough. */
  sampleNear(count: number, fits: (index: number) => boolean): number[] {
    const { zone } = this.own.record
    const near: number[] = []
    const size = this.table.state.length
    const wanted = zone === '' ? 0 : Math.floor(count * ownZoneShare)
    for (let attempt = 0; attempt < zoneAttempts && near.length < wanted && size > 0; attempt++) {
      const index = Math.floor(this.rng.next() * size)
      if (this.table.stateOf(index) === 0 || near.includes(index) || !fits(index)) continue
      if (this.recordOf(index).record.zone === zone) near.push(index)
    }
    const anywhere = this.sample(count - near.length, (index) => !near.includes(index) && fits(index))
    return [...near, ...anywhere]
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
    return [...chosen, ...this.draw(count - chosen.length, rest)]
  }
}
