import type { MachineContext } from './context.ts'
import type { MembershipSettings } from './settings.ts'

interface Suspicion {
  readonly kind: 'suspect' | 'stalled'
  startedMs: number
  /** When it ends, in steps of `stepMs`; undefined before that was said. */
  due: number | undefined
  /** Short ids of those who accuse it; of them, who was refused by it. A few, in arrays without spare room. */
  accusers: readonly string[]
  refusers: readonly string[]
  postponed: number
}

const nobody: readonly string[] = []

/** Suspicions that end within the same step share a timer, so that a rack that dies at once isn't thousands of them. */
const stepMs = 20

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
  readonly #byMember = new Map<number, Suspicion>()
  /** By step: whose suspicions were to end then when that was said last. */
  readonly #ends = new Map<number, number[]>()

  constructor(context: MachineContext) {
    this.#context = context
  }

  get size(): number {
    return this.#byMember.size
  }

  begin(member: number, kind: 'suspect' | 'stalled', accuser: string | undefined, refused: boolean): void {
    const suspicion: Suspicion = {
      kind,
      startedMs: this.#context.nowMs,
      due: undefined,
      accusers: accuser === undefined ? nobody : [accuser],
      refusers: accuser !== undefined && refused ? [accuser] : nobody,
      postponed: 0,
    }
    this.#byMember.set(member, suspicion)
    this.#settle(member, suspicion)
  }

  /** True where this accuser, or that it was refused, is news. */
  confirm(member: number, accuser: string, refused: boolean): boolean {
    const suspicion = this.#byMember.get(member)
    if (suspicion === undefined) return false
    const isNew = !suspicion.accusers.includes(accuser)
    const isNewlyRefused = refused && !suspicion.refusers.includes(accuser)
    const isFull = suspicion.accusers.length > 2 * this.#context.settings.suspicionConfirmations
    if (!(isNew || isNewlyRefused) || isFull) return false
    if (isNew) suspicion.accusers = [...suspicion.accusers, accuser]
    if (isNewlyRefused) suspicion.refusers = [...suspicion.refusers, accuser]
    this.#settle(member, suspicion)
    return true
  }

  end(member: number): void {
    this.#byMember.delete(member)
  }

  /** The member was heard just now: its time begins anew. */
  postpone(member: number): void {
    const suspicion = this.#byMember.get(member)
    if (suspicion === undefined || suspicion.postponed >= maxPostponements) return
    suspicion.postponed++
    this.#restart(member, suspicion)
  }

  /** This node was starved for so long: a refutation may wait in its sockets. */
  extendAll(byMs: number): void {
    for (const [member, suspicion] of this.#byMember) {
      suspicion.startedMs += byMs
      suspicion.due = undefined
      this.#settle(member, suspicion)
    }
  }

  /** This node slept: nobody has had a chance to answer it. */
  restartAll(): void {
    for (const [member, suspicion] of this.#byMember) this.#restart(member, suspicion)
  }

  /** Ends those whose time is over with this timer, and returns their members. */
  expire(step: number): number[] {
    const over = (this.#ends.get(step) ?? []).filter((member) => {
      const isOver = this.#byMember.get(member)?.due === step
      if (isOver) this.end(member)
      return isOver
    })
    this.#ends.delete(step)
    return over
  }

  #restart(member: number, suspicion: Suspicion): void {
    suspicion.startedMs = this.#context.nowMs
    suspicion.due = undefined
    suspicion.refusers = nobody
    this.#settle(member, suspicion)
  }

  /** Says when it ends, which may have come nearer. */
  #settle(member: number, suspicion: Suspicion): void {
    const { settings, table, nowMs } = this.#context
    const members = table.live
    const { kind, accusers, refusers, startedMs } = suspicion
    const timeoutMs =
      kind === 'stalled'
        ? settings.stalledTimeoutMs
        : suspicionTimeoutMs(members, Math.max(0, accusers.length - 1), settings)
    const refusersNeeded = Math.min(2, Math.max(1, members - 1))
    const deadlineMs = startedMs + timeoutMs
    const isRefused = refusers.length >= refusersNeeded
    const endMs = isRefused ? Math.min(deadlineMs, nowMs + settings.refusedSuspicionMs) : deadlineMs
    const due = Math.ceil(Math.max(endMs, nowMs) / stepMs)
    if (suspicion.due !== undefined && due >= suspicion.due) return
    suspicion.due = due
    const others = this.#ends.get(due)
    if (others !== undefined) {
      others.push(member)
      return
    }
    this.#ends.set(due, [member])
    this.#context.schedule('suspicion', due * stepMs - nowMs, due)
  }
}
