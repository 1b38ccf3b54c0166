import type { MachineContext } from './context.ts'
import { maxAccusers } from './messages.ts'
import type { MembershipSettings } from './settings.ts'
import { SuspicionColumns } from './suspicion-columns.ts'

/** Who suspects a member. */
export interface Voices {
  /** Numbers of the directory, of up to `maxAccusers`. */
  readonly accusers: readonly number[]
  /** So many of them, from the first on, were refused by its host. */
  readonly refused: number
}

/** So many must have been refused, where there are so many. */
const enoughRefused = 2

const stepMs = 20
/** Waits from so long on end with a multiple of so many steps: at most a twentieth longer. */
const coarser = [
  { fromMs: 10_000, steps: 25 },
  { fromMs: 2000, steps: 5 },
]

/**
 * The step with which a wait ends, and never before it. Suspicions that end with the same step share a timer, so that a
 * rack that dies at once isn't thousands of them; the longer the wait, the more end together.
 */
export function dueStep(nowMs: number, endMs: number): number {
  const waitMs = endMs - nowMs
  const steps = coarser.find(({ fromMs }) => waitMs >= fromMs)?.steps ?? 1
  return steps * Math.ceil(Math.max(endMs, nowMs) / (steps * stepMs))
}

/** A member that can be heard but never answers is not waited for without end. */
const maxPostponements = 3

/** How long a suspicion lasts among `members` with so many confirmations beyond the first accuser (Lifeguard §3.2). */
export function suspicionTimeoutMs(
  members: number,
  confirmations: number,
  settings: MembershipSettings,
): number {
  const minimum =
    settings.suspicionFactor * Math.max(1, Math.log10(Math.max(1, members))) * settings.probeIntervalMs
  const expected = Math.max(0, Math.min(settings.suspicionConfirmations, members - 2))
  if (expected === 0) return minimum
  const maximum = settings.suspicionMaxFactor * minimum
  const share = Math.log(confirmations + 1) / Math.log(expected + 1)
  return Math.max(minimum, maximum - (maximum - minimum) * share)
}

/** The suspicions that run, each with its accusers and its end. */
export class Suspicions {
  readonly #context: MachineContext
  readonly #columns = new SuspicionColumns()
  /** By step: whose suspicions were to end then when that was said last. */
  readonly #ends = new Map<number, number[]>()

  constructor(context: MachineContext) {
    this.#context = context
  }

  get size(): number {
    return this.#columns.size
  }

  /** Who suspects this member as far as it is known here; undefined where nobody does. */
  voicesOf(member: number): Voices | undefined {
    const slot = this.#columns.slots.get(member)
    if (slot === undefined) return undefined
    return { accusers: this.#columns.accusersOf(slot), refused: this.#columns.refused[slot]! }
  }

  begin(member: number, kind: 'suspect' | 'stalled', voices: Voices): void {
    const columns = this.#columns
    const slot = columns.open(member)
    columns.isStalled[slot] = Number(kind === 'stalled')
    columns.startedMs[slot] = this.#context.nowMs
    columns.due[slot] = Number.POSITIVE_INFINITY
    columns.postponed[slot] = 0
    columns.setAccusers(slot, voices.accusers, voices.refused)
    this.#settle(member, slot)
  }

  /** Could one more voice count? */
  hasRoom(member: number, isRefused: boolean): boolean {
    const slot = this.#columns.slots.get(member)
    return slot !== undefined && this.#slotHasRoom(slot, isRefused)
  }

  /** True where this accuser, or that it was refused, is news. */
  confirm(member: number, accuser: number, isRefused: boolean): boolean {
    const slot = this.#columns.slots.get(member)
    if (slot === undefined || !this.#slotHasRoom(slot, isRefused)) return false
    const accusers = this.#columns.accusersOf(slot)
    const refused = this.#columns.refused[slot]!
    const at = accusers.indexOf(accuser)
    if (at !== -1 && (!isRefused || at < refused)) return false
    const others = accusers.filter((one) => one !== accuser)
    if (isRefused) this.#columns.setAccusers(slot, [accuser, ...others], refused + 1)
    else this.#columns.setAccusers(slot, [...others, accuser], refused)
    this.#settle(member, slot)
    return true
  }

  end(member: number): void {
    this.#columns.close(member)
  }

  /** The member was heard just now: its time begins anew. */
  postpone(member: number): void {
    const slot = this.#columns.slots.get(member)
    if (slot === undefined || this.#columns.postponed[slot]! >= maxPostponements) return
    this.#columns.postponed[slot]!++
    this.#restart(member, slot)
  }

  /** This node was starved for so long: a refutation may wait in its sockets. */
  extendAll(byMs: number): void {
    for (const [member, slot] of this.#columns.slots) {
      this.#columns.startedMs[slot]! += byMs
      this.#columns.due[slot] = Number.POSITIVE_INFINITY
      this.#settle(member, slot)
    }
  }

  /** This node slept: nobody has had a chance to answer it. */
  restartAll(): void {
    for (const [member, slot] of this.#columns.slots) this.#restart(member, slot)
  }

  /** Ends those whose time is over with this timer, and returns their members. */
  expire(step: number): number[] {
    const over = (this.#ends.get(step) ?? []).filter((member) => {
      const slot = this.#columns.slots.get(member)
      const isOver = slot !== undefined && this.#columns.due[slot] === step
      if (isOver) this.end(member)
      return isOver
    })
    this.#ends.delete(step)
    return over
  }

  #slotHasRoom(slot: number, isRefused: boolean): boolean {
    return isRefused
      ? this.#columns.refused[slot]! < enoughRefused
      : this.#columns.accuserCount(slot) < maxAccusers
  }

  #restart(member: number, slot: number): void {
    const columns = this.#columns
    columns.startedMs[slot] = this.#context.nowMs
    columns.due[slot] = Number.POSITIVE_INFINITY
    columns.refused[slot] = 0
    this.#settle(member, slot)
  }

  /** Says when it ends, which may have come nearer. */
  #settle(member: number, slot: number): void {
    const { settings, table, nowMs } = this.#context
    const members = table.live
    const columns = this.#columns
    const confirmations = Math.max(0, columns.accuserCount(slot) - 1)
    const isStalled = columns.isStalled[slot] === 1
    const timeoutMs = isStalled
      ? settings.stalledTimeoutMs
      : suspicionTimeoutMs(members, confirmations, settings)
    const deadlineMs = columns.startedMs[slot]! + timeoutMs
    const isRefused = columns.refused[slot]! >= Math.min(enoughRefused, Math.max(1, members - 1))
    const endMs = isRefused ? Math.min(deadlineMs, nowMs + settings.refusedSuspicionMs) : deadlineMs
    const due = dueStep(nowMs, endMs)
    if (due >= columns.due[slot]!) return
    columns.due[slot] = due
    const others = this.#ends.get(due)
    if (others !== undefined) {
      others.push(member)
      return
    }
    this.#ends.set(due, [member])
    this.#context.schedule('suspicion', due * stepMs - nowMs, due)
  }
}
