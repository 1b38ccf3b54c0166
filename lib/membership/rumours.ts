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

/** A place in a ring of rumours that were told equally often; the ring's own head is one as well. */
interface Place {
  before: Place
  after: Place
}

interface Entry extends Place, Rumour {
  /** How often it was told. */
  level: number
  /** The next rumour about the same member. */
  sibling: Entry | undefined
}

/**
 * What is to be passed on, least told first. Bounded by the table: a newer rumour about a member takes the place of
 * the older ones, and only members are spoken of. Linked through its entries: when a third of a large cluster dies at
 * once this holds thousands.
 */
export class RumourQueue {
  /** Heads of the rings, by how often their rumours were told. */
  readonly #levels: Place[] = []
  readonly #byMember = new Map<number, Entry>()
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
    let known = 0
    for (const entry of this.#about(rumour.member)) {
      if (entry.accuser === rumour.accuser && entry.refused) return
      known++
    }
    if (known < maxRumoursOfMember) this.#add(rumour)
  }

  drop(member: number): void {
    for (const entry of this.#about(member)) {
      unlink(entry)
      this.#size--
    }
    this.#byMember.delete(member)
  }

  /** Up to `limit` rumours for one packet; each of them is sent once more, and dropped when it was sent `budget` times. */
  take(limit: number, budget: number): Rumour[] {
    const taken: Entry[] = []
    for (const head of this.#levels) {
      for (let place = head.after; place !== head && taken.length < limit; place = place.after)
        taken.push(place as Entry)
    }
    for (const entry of taken) {
      unlink(entry)
      entry.level++
      if (entry.level < budget) this.#link(entry)
      else this.#forget(entry)
    }
    return taken
  }

  *#about(member: number): Iterable<Entry> {
    for (let entry = this.#byMember.get(member); entry !== undefined; entry = entry.sibling) yield entry
  }

  #add({ member, accuser, refused }: Rumour): void {
    const sibling = this.#byMember.get(member)
    const head = this.#headOf(0)
    const entry: Entry = { member, accuser, refused, level: 0, sibling, before: head, after: head }
    this.#byMember.set(member, entry)
    this.#link(entry)
    this.#size++
  }

  #headOf(level: number): Place {
    while (this.#levels.length <= level) this.#levels.push(makeHead())
    return this.#levels[level]!
  }

  /** To the end of its level. */
  #link(entry: Entry): void {
    const head = this.#headOf(entry.level)
    entry.before = head.before
    entry.after = head
    head.before.after = entry
    head.before = entry
  }

  #forget(entry: Entry): void {
    this.#size--
    const first = this.#byMember.get(entry.member)!
    if (first !== entry) {
      let before = first
      while (before.sibling !== entry) before = before.sibling!
      before.sibling = entry.sibling
    } else if (entry.sibling === undefined) this.#byMember.delete(entry.member)
    else this.#byMember.set(entry.member, entry.sibling)
  }
}

function makeHead(): Place {
  const head = {} as Place
  head.before = head
  head.after = head
  return head
}

function unlink(entry: Entry): void {
  entry.before.after = entry.after
  entry.after.before = entry.before
}
