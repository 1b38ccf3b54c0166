import type { MembershipSettings } from './settings.ts'

/** `4·⌈log10(N+1)⌉` transmissions reach everybody with high probability (SWIM paper §4.1). */
export function retransmitBudget(members: number): number {
  return 4 * Math.ceil(Math.log10(members + 1))
}

/** A backlog is told once in so many ticks. */
const backlogTicks = 4

/**
 * Members to tell in one gossip tick. Where more rumours wait than a few ticks could carry it grows with them: when 3,000
 * of 10,000 nodes die at once, three members a tick would need more than a minute for what is to be said.
 */
export function gossipFanout(waiting: number, settings: MembershipSettings): number {
  const packets = Math.ceil(waiting / (backlogTicks * settings.maxRumoursPerPacket))
  return Math.min(settings.maxGossipFanout, Math.max(settings.gossipFanout, packets))
}

/** A place in a ring of rumours that were told equally often; the ring's own head is one as well. */
interface Place {
  before: Place
  after: Place
}

interface Entry extends Place {
  readonly member: number
  /** How often it was told. */
  level: number
}

/**
 * Of whom there is news to pass on, least told first; what is said of a member is read when it is sent, so that nothing
 * is told that is known better by then. Bounded by the table: one rumour a member. Linked through its entries: when a
 * third of a large cluster dies at once this holds thousands.
 */
export class RumourQueue {
  /** Heads of the rings, by how often their rumours were told. */
  readonly #levels: Place[] = []
  readonly #byMember = new Map<number, Entry>()

  get size(): number {
    return this.#byMember.size
  }

  /** There is news of this member: it begins anew, behind other news. */
  add(member: number): void {
    const known = this.#byMember.get(member)
    if (known !== undefined) unlink(known)
    const head = this.#headOf(0)
    const entry = known ?? { member, level: 0, before: head, after: head }
    entry.level = 0
    if (known === undefined) this.#byMember.set(member, entry)
    this.#link(entry)
  }

  drop(member: number): void {
    const entry = this.#byMember.get(member)
    if (entry === undefined) return
    unlink(entry)
    this.#byMember.delete(member)
  }

  /** Of whom to tell in one packet, as long as `fits`; each of them is told once more, and dropped when it was told `budget` times. */
  take(fits: (member: number) => boolean, budget: number): number[] {
    const taken: Entry[] = []
    let hasRoom = true
    for (const head of this.#levels) {
      for (let place = head.after; hasRoom && place !== head; place = place.after) {
        hasRoom = fits((place as Entry).member)
        if (hasRoom) taken.push(place as Entry)
      }
    }
    for (const entry of taken) {
      unlink(entry)
      entry.level++
      if (entry.level < budget) this.#link(entry)
      else this.#byMember.delete(entry.member)
    }
    return taken.map(({ member }) => member)
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
