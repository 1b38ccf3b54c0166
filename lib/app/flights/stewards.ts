import { isReachable, type Member } from '../../core/peer.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { StewardChoice } from '../../flights/claims.ts'
import { type FlightKey, keyText } from '../../flights/flight-key.ts'
import { type Contender, chooseStewards, contender } from '../../flights/rendezvous.ts'
import type { FlightSettings } from '../../flights/settings.ts'

const choices = 2
/** A steward that is usually slower than the budget gets so many of its round trips, up to the bound. */
const roundTrips = 3
const maxBudgetMs = 100

export interface StewardParts {
  readonly members: () => readonly Member[]
  readonly registriesOf: (peerId: PeerId) => readonly string[] | undefined
  /** False: the registry is mirrored because all are, and who else does is not known before its first image. */
  readonly isNamed: (registry: string) => boolean
  readonly settings: FlightSettings
}

/** Who the stewards of a digest are, among the live members that mirror its registry. */
export class Stewards {
  readonly #parts: StewardParts
  readonly #seeds = new Map<PeerId, Contender>()
  readonly #contenders = new Map<string, readonly Contender[]>()

  constructor(parts: StewardParts) {
    this.#parts = parts
  }

  /** Members or what they mirror have changed. */
  changed(): void {
    this.#contenders.clear()
    const known = new Set(this.#parts.members().map(({ record }) => record.peerId))
    for (const peerId of this.#seeds.keys()) if (!known.has(peerId)) this.#seeds.delete(peerId)
  }

  first(key: FlightKey): PeerId | undefined {
    return chooseStewards(this.#contendersOf(key.registry), keyText(key), 1)[0]
  }

  /** First and second choice, with what their answers may take at least. */
  of(key: FlightKey, memberOf: (peerId: PeerId) => Member | undefined): StewardChoice[] {
    const { claimBudgetMs } = this.#parts.settings
    return chooseStewards(this.#contendersOf(key.registry), keyText(key), choices).map((peerId) => {
      const member = memberOf(peerId)
      const usualMs = Math.min(roundTrips * (member?.rttMs ?? 0), maxBudgetMs)
      const budgetMs = Math.max(claimBudgetMs, usualMs)
      return { peerId, budgetMs, doubtful: member?.state !== 'alive', self: member?.self === true }
    })
  }

  #contendersOf(registry: string): readonly Contender[] {
    const known = this.#contenders.get(registry)
    if (known !== undefined) return known
    const { members, registriesOf, isNamed } = this.#parts
    const anybody = !isNamed(registry)
    const found = members()
      .filter(({ state, record }) => isReachable(state) && record.registryPort !== 0)
      .filter(
        ({ self, record }) => self || anybody || registriesOf(record.peerId)?.includes(registry) === true,
      )
      .map(({ record }) => this.#seedOf(record.peerId))
    this.#contenders.set(registry, found)
    return found
  }

  #seedOf(peerId: PeerId): Contender {
    const known = this.#seeds.get(peerId) ?? contender(peerId)
    this.#seeds.set(peerId, known)
    return known
  }
}
