import type { PeerId } from '../core/peer-id.ts'
import { compareAge } from './checkpoint.ts'
import type { Delta } from './delta.ts'

/** Most messages that wait for what should come before them, all origins of a registry together. */
const maxHeld = 32

/**
 * Deltas that came before the ones they build on. They are used once the gap is closed: by the late message itself,
 * or by an inventory that was fetched meanwhile. The oldest make room for new ones.
 */
export class HeldDeltas {
  #held: { readonly origin: PeerId; readonly delta: Delta }[] = []

  get size(): number {
    return this.#held.length
  }

  hold(origin: PeerId, delta: Delta): void {
    if (delta.change === undefined) return
    this.#held.push({ origin, delta })
    if (this.#held.length > maxHeld) this.#held.shift()
  }

  /** The delta of an origin that follows what is known; those that are no longer of use are let go. */
  take(origin: PeerId, known: { readonly epoch: number; readonly sequence: number }): Delta | undefined {
    this.#held = this.#held.filter(
      ({ origin: other, delta }) => other !== origin || compareAge(delta.checkpoint, known) > 0,
    )
    const index = this.#held.findIndex(
      ({ origin: other, delta }) =>
        other === origin &&
        delta.checkpoint.epoch === known.epoch &&
        delta.checkpoint.sequence === known.sequence + 1,
    )
    return index === -1 ? undefined : this.#held.splice(index, 1)[0]?.delta
  }

  forget(origin: PeerId): void {
    this.#held = this.#held.filter((held) => held.origin !== origin)
  }
}
