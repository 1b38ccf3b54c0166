import type { Metrics } from '../core/ports.ts'
import type { FlowSlot } from '../selection/flow-slot.ts'

/** A reader that takes nothing for this long keeps no room. */
const parkAfterMs = 500
const retryMs = 25

export interface SlotKeeperDeps {
  readonly metrics?: Metrics
  /** Monotonic milliseconds. */
  readonly now: () => number
}

/** Parks the room of one request while its reader takes nothing, and takes it again before the next bytes. */
export class SlotKeeper {
  readonly #slot: FlowSlot
  readonly #direction: 'upload' | 'download'
  readonly #deps: SlotKeeperDeps
  readonly #onPark: () => void
  #timer: NodeJS.Timeout | undefined
  #decided: ((room: boolean) => void) | undefined

  /** `onPark` hears that the reader has taken nothing for a while. */
  constructor(
    slot: FlowSlot,
    direction: 'upload' | 'download',
    deps: SlotKeeperDeps,
    onPark: () => void = () => {},
  ) {
    this.#slot = slot
    this.#direction = direction
    this.#deps = deps
    this.#onPark = onPark
  }

  /** The reader takes nothing from now on. */
  blocked(): void {
    this.#decide(false)
    this.#timer = setTimeout(() => {
      this.#slot.park()
      this.#count('parked')
      this.#onPark()
    }, parkAfterMs)
  }

  /** The reader goes on: is there room for it? Asked again before the answer came, the first question is answered by false. */
  unblocked(): boolean | Promise<boolean> {
    this.#decide(false)
    if (!this.#slot.parked) return true
    return new Promise((resolve) => {
      this.#decided = resolve
      this.#try()
    })
  }

  /** The request is over. */
  free(): void {
    this.#decide(false)
    this.#slot.free()
  }

  #try(): void {
    const verdict = this.#slot.resume(this.#deps.now())
    if (verdict === 'wait') {
      this.#timer = setTimeout(() => this.#try(), retryMs)
      return
    }
    this.#count(verdict === 'go' ? 'resumed' : 'refused')
    this.#decide(verdict === 'go')
  }

  #decide(room: boolean): void {
    clearTimeout(this.#timer)
    const decided = this.#decided
    this.#decided = undefined
    if (decided !== undefined && !room) this.#slot.park()
    decided?.(room)
  }

  #count(event: 'parked' | 'resumed' | 'refused'): void {
    this.#deps.metrics?.count('starling_parked_slots_total', { direction: this.#direction, event })
  }
}
