import { sampleRanks } from '../../catalog/sample.ts'
import { describeError } from '../../core/errors.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { CatalogContext } from './context.ts'
import type { CatalogSynchroniser } from './synchroniser.ts'

const calmMs = 30_000
const eagerMs = 1_000
/** News is told in so many rounds to so many members each, who tell it on: in a cluster of any size none is missed. */
const eagerRounds = 4
const eagerPeers = 3

/** With a wildcard: tells members which registries this node has come to know, and learns theirs. */
export class CatalogDiscovery {
  readonly #context: CatalogContext
  readonly #synchroniser: CatalogSynchroniser
  readonly #learned: (registries: readonly string[], from: PeerId) => void
  #active = false
  #running = false
  #rounds = eagerRounds
  #cancel: (() => void) | undefined

  constructor(
    context: CatalogContext,
    synchroniser: CatalogSynchroniser,
    learned: (registries: readonly string[], from: PeerId) => void,
  ) {
    this.#context = context
    this.#synchroniser = synchroniser
    this.#learned = learned
  }

  /** Begins or ends to ask and tell. */
  setActive(active: boolean): void {
    if (active === this.#active) return
    this.#active = active
    this.#cancel?.()
    this.#cancel = undefined
    if (active) this.hurry()
  }

  /** There is something to tell, or somebody to ask. */
  hurry(): void {
    this.#rounds = eagerRounds
    this.#plan(this.#context.between(50, 300))
  }

  #plan(delayMs: number): void {
    if (!this.#active || this.#running || this.#context.stopped) return
    this.#cancel?.()
    this.#cancel = this.#context.timers.after(delayMs, () => void this.#round())
  }

  async #round(): Promise<void> {
    this.#cancel = undefined
    const members = this.#context.liveMembers()
    const ranks = sampleRanks(members.length, this.#rounds > 0 ? eagerPeers : 1, this.#context.options.rng)
    this.#rounds = Math.max(0, this.#rounds - 1)
    this.#running = true
    for (const rank of ranks) await this.#exchange(members[rank]!)
    this.#running = false
    this.#plan((this.#rounds > 0 ? eagerMs : calmMs) * this.#context.between(0.7, 1.3))
  }

  async #exchange(peer: PeerId): Promise<void> {
    try {
      const registries = await this.#synchroniser.exchangeRegistries(peer)
      if (this.#active && !this.#context.stopped) this.#learned(registries, peer)
    } catch (error) {
      this.#context.logger.debug(
        { peer, error: describeError(error) },
        'registries could not be exchanged with a neighbour',
      )
    }
  }
}
