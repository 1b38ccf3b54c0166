import { grown, grownSize } from './columns.ts'
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

/** Of `level`: nothing is told of this member. */
const untold = 0xff
const nobody = -1

/**
 * Of whom there is news to pass on, least told first; what is said of a member is read when it is sent, so that nothing
 * is told that is known better by then. Bounded by the table: one rumour a member. For each number of times that a rumour
 * can have been told there is a list, linked through columns indexed by the numbers of `MemberDirectory`: 9 bytes an
 * entry, since at a cold start everybody is news.
 */
export class RumourQueue {
  /** By member: how often it was told of, and its neighbours in the list of those who were told of as often. */
  #level = new Uint8Array(0)
  #before = new Int32Array(0)
  #after = new Int32Array(0)
  /** By level. */
  readonly #first: number[] = []
  readonly #last: number[] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  /** There is news of this member: it begins anew, behind other news. */
  add(member: number): void {
    this.#grow(member)
    if (this.#level[member] === untold) this.#size++
    else this.#unlink(member)
    this.#link(member, 0)
  }

  drop(member: number): void {
    if ((this.#level[member] ?? untold) === untold) return
    this.#unlink(member)
    this.#forget(member)
  }

  /** Of whom to tell in one packet, as long as `fits`; each of them is told once more, and dropped when it was told `budget` times. */
  take(fits: (member: number) => boolean, budget: number): number[] {
    const taken: number[] = []
    let hasRoom = true
    for (const first of this.#first) {
      for (let member = first; hasRoom && member !== nobody; member = this.#after[member]!) {
        hasRoom = fits(member)
        if (hasRoom) taken.push(member)
      }
    }
    for (const member of taken) {
      const level = this.#level[member]! + 1
      this.#unlink(member)
      if (level < budget) this.#link(member, level)
      else this.#forget(member)
    }
    return taken
  }

  /** To the end of its level. */
  #link(member: number, level: number): void {
    while (this.#first.length <= level) {
      this.#first.push(nobody)
      this.#last.push(nobody)
    }
    const last = this.#last[level]!
    this.#level[member] = level
    this.#before[member] = last
    this.#after[member] = nobody
    if (last === nobody) this.#first[level] = member
    else this.#after[last] = member
    this.#last[level] = member
  }

  #unlink(member: number): void {
    const [level, before, after] = [this.#level[member]!, this.#before[member]!, this.#after[member]!]
    if (before === nobody) this.#first[level] = after
    else this.#after[before] = after
    if (after === nobody) this.#last[level] = before
    else this.#before[after] = before
  }

  #forget(member: number): void {
    this.#level[member] = untold
    this.#size--
  }

  #grow(member: number): void {
    if (member < this.#level.length) return
    const size = grownSize(this.#level.length, member)
    this.#level = grown(this.#level, new Uint8Array(size).fill(untold))
    this.#before = grown(this.#before, new Int32Array(size))
    this.#after = grown(this.#after, new Int32Array(size))
  }
}
