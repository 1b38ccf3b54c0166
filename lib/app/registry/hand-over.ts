import { type CatalogService, isMirrored, type MirrorSet, type RegistrySummary } from '../../core/cluster.ts'
import type { RegistryControl } from '../../core/lookup.ts'
import type { RegistryService } from './registry-service.ts'

/** A registry API that goes on while the parts behind it are built anew. */
export interface HandedOver {
  readonly service: RegistryService
  /** What its former part knew. */
  readonly known: readonly RegistrySummary[]
}

/** So long the former part may answer while the new one knows less. */
const maxWaitMs = 10_000

export interface HandOverOptions {
  readonly from: HandedOver
  readonly control: RegistryControl
  readonly catalog: Pick<CatalogService, 'summaries'>
  readonly mirrors: () => MirrorSet
}

/** Decides when the new part answers: as soon as it knows as much as the former one, and in any case after ten seconds. */
export class HandOver {
  readonly #options: HandOverOptions
  #timer: NodeJS.Timeout | undefined
  #isDone = false

  constructor(options: HandOverOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer = setTimeout(() => this.#answer(), maxWaitMs).unref()
  }

  /** To be called when the own store has been listed, and at each change of the catalog after that. */
  look(): void {
    const { catalog, from, mirrors } = this.#options
    if (this.#isDone) return
    const now = new Map(catalog.summaries().map((summary) => [summary.registry, summary]))
    const isBehind = from.known.some(({ registry, origins, digests }) => {
      if (!isMirrored(mirrors(), registry)) return false
      const summary = now.get(registry)
      return summary === undefined || summary.origins < origins || summary.digests < digests
    })
    if (!isBehind) this.#answer()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#isDone = true
  }

  /**
   * What is known to the part that answers. A new one that ends before it has answered knew less than the one that
   * still does, and the next has to know as much as that one.
   */
  known(): readonly RegistrySummary[] {
    const { catalog, from } = this.#options
    if (this.#isDone) return catalog.summaries()
    const merged = new Map(catalog.summaries().map((summary) => [summary.registry, summary]))
    for (const before of from.known) {
      const now = merged.get(before.registry)
      merged.set(before.registry, {
        ...(now ?? before),
        origins: Math.max(now?.origins ?? 0, before.origins),
        digests: Math.max(now?.digests ?? 0, before.digests),
      })
    }
    return [...merged.values()]
  }

  #answer(): void {
    this.stop()
    this.#options.from.service.answerBy(this.#options.control)
  }
}
