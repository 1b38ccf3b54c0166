import { type AnnouncementPace, reminderMs } from '../../../lib/catalog/announcement-pace.ts'
import { encodeDelta } from '../../../lib/catalog/delta.ts'
import type { TagPair } from '../../../lib/catalog/elements.ts'
import type { Digest } from '../../../lib/core/digest.ts'
import type { Rng } from '../../../lib/core/ports.ts'
import type { TestOrigin } from '../../catalog/support.ts'

/** What an announcer does to the simulation. */
export interface AnnouncerWorld {
  nowMs(): number
  readonly rng: Rng
  after(delayMs: number, run: () => void): void
  publish(bytes: Uint8Array): void
  /** A change was announced so long after it came. */
  waited(durationMs: number): void
}

/** Announces the changes of one node when `CatalogPublisher` would: by the shipped pace, with its reminders. */
export class Announcer {
  readonly origin: TestOrigin
  readonly #pace: AnnouncementPace
  readonly #world: AnnouncerWorld
  #add: Digest[] = []
  #tag: TagPair[] = []
  #changedMs: number[] = []
  #isScheduled = false
  #sentMs = Number.NEGATIVE_INFINITY

  constructor(origin: TestOrigin, pace: AnnouncementPace, world: AnnouncerWorld) {
    this.origin = origin
    this.#pace = pace
    this.#world = world
  }

  change(add: readonly Digest[], tag: readonly TagPair[]): void {
    const nowMs = this.#world.nowMs()
    this.#add.push(...add)
    this.#tag.push(...tag)
    this.#changedMs.push(nowMs)
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#world.after(this.#pace.waitMs(nowMs, this.#sentMs, this.#world.rng), () => this.#announce())
  }

  #announce(): void {
    const nowMs = this.#world.nowMs()
    const delta = this.origin.step({ add: this.#add, tag: this.#tag })
    for (const changedMs of this.#changedMs) this.#world.waited(nowMs - changedMs)
    this.#add = []
    this.#tag = []
    this.#changedMs = []
    this.#isScheduled = false
    this.#sentMs = nowMs
    this.#world.publish(encodeDelta(delta))
    const { sequence } = this.origin
    const afterMs = reminderMs.min + (reminderMs.max - reminderMs.min) * this.#world.rng.next()
    this.#world.after(afterMs, () => {
      if (this.origin.sequence !== sequence || this.#pace.isBusy(this.#world.nowMs())) return
      this.#world.publish(encodeDelta(this.origin.bare()))
    })
  }
}
