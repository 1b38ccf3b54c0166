import { describeError } from '../core/errors.ts'
import type { CatalogContext } from './catalog-context.ts'
import type { CatalogSynchroniser } from './catalog-synchroniser.ts'

const calmMs = 30_000
const eagerMs = 1_000
/** How often news is told at once: each round reaches one member, who tells it on. */
const eagerRounds = 4

/** With a wildcard: tells members which registries this node has come to know, and learns theirs. */
export class CatalogDiscovery {
  readonly #context: CatalogContext
  readonly #synchroniser: CatalogSynchroniser
  readonly #learned: (registries: readonly string[]) => void
  #active = false
  #running = false
  #rounds = eagerRounds
  #cancel: (() => void) | undefined

  constructor(
    context: CatalogContext,
    synchroniser: CatalogSynchroniser,
    learned: (registries: readonly string[]) => void,
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
    const peer = this.#context.pick(this.#context.liveMembers())
    if (peer !== undefined) {
      this.#running = true
      try {
        const registries = await this.#synchroniser.exchangeRegistries(peer)
        this.#rounds = Math.max(0, this.#rounds - 1)
        if (this.#active && !this.#context.stopped) this.#learned(registries)
      } catch (error) {
        this.#context.logger.debug(
          { peer, error: describeError(error) },
          'registries could not be exchanged with a neighbour',
        )
      }
      this.#running = false
    }
    this.#plan((this.#rounds > 0 ? eagerMs : calmMs) * this.#context.between(0.7, 1.3))
  }
}
