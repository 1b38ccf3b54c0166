/** Something to be told of a member; what is said of it is read from the table when it is sent. */
export interface Rumour {
  readonly member: number
  /** Who suspects it, by short id, where that matters. */
  readonly accuser: string | undefined
  readonly refused: boolean
}

/** `4·⌈log10(N+1)⌉` transmissions reach everybody with high probability (SWIM paper §4.1). */
export function retransmitBudget(members: number): number {
  return 4 * Math.ceil(Math.log10(members + 1))
}

/** So many accusers of one member are told; more would not shorten its suspicion. */
const maxRumoursOfMember = 4

/**
 * What is to be passed on, least told first. Bounded by the table: a newer rumour about a member takes the place of
 * the older ones, and only members are spoken of.
 */
export class RumourQueue {
  /** By how often they were sent. */
  readonly #levels: Set<Rumour>[] = []
  readonly #byMember = new Map<number, { rumour: Rumour; level: number }[]>()
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Replaces all that was to be told of this member. */
  replace(rumour: Rumour): void {
    this.drop(rumour.member)
    this.#add(rumour)
  }

  /** Another accuser of the same suspicion, next to those that are told already. */
  append(rumour: Rumour): void {
    const entries = this.#byMember.get(rumour.member) ?? []
    if (entries.length >= maxRumoursOfMember) return
    if (entries.some((entry) => entry.rumour.accuser === rumour.accuser && entry.rumour.refused)) return
    this.#add(rumour)
  }

  drop(member: number): void {
    for (const { rumour, level } of this.#byMember.get(member) ?? []) {
      this.#levels[level]?.delete(rumour)
      this.#size--
    }
    this.#byMember.delete(member)
  }

  /** Up to `limit` rumours for one packet; each of them is sent once more, and dropped when it was sent `budget` times. */
  take(limit: number, budget: number): Rumour[] {
    const taken: Rumour[] = []
    const levels: number[] = []
    for (let level = 0; level < this.#levels.length && taken.length < limit; level++) {
      for (const rumour of this.#levels[level]!) {
        taken.push(rumour)
        levels.push(level)
        if (taken.length >= limit) break
      }
    }
    taken.forEach((rumour, index) => {
      this.#promote(rumour, levels[index]!, budget)
    })
    return taken
  }

  #add(rumour: Rumour): void {
    this.#level(0).add(rumour)
    const entries = this.#byMember.get(rumour.member)
    if (entries === undefined) this.#byMember.set(rumour.member, [{ rumour, level: 0 }])
    else entries.push({ rumour, level: 0 })
    this.#size++
  }

  #promote(rumour: Rumour, level: number, budget: number): void {
    this.#levels[level]!.delete(rumour)
    const entries = this.#byMember.get(rumour.member) ?? []
    const at = entries.findIndex((entry) => entry.rumour === rumour)
    if (level + 1 < budget) {
      this.#level(level + 1).add(rumour)
      entries[at] = { rumour, level: level + 1 }
      return
    }
    entries.splice(at, 1)
    if (entries.length === 0) this.#byMember.delete(rumour.member)
    this.#size--
  }

  #level(level: number): Set<Rumour> {
    while (this.#levels.length <= level) this.#levels.push(new Set())
    return this.#levels[level]!
  }
}
