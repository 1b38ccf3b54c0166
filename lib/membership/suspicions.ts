import type { MachineContext } from './context.ts'
import type { MembershipSettings } from './settings.ts'

interface Suspicion {
  readonly kind: 'suspect' | 'stalled'
  startedMs: number
  deadlineMs: number
  token: number
  readonly accusers: Set<string>
  readonly refusers: Set<string>
  postponed: number
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
  readonly #byMember = new Map<number, Suspicion>()
  readonly #byToken = new Map<number, number>()

  constructor(context: MachineContext) {
    this.#context = context
  }

  get size(): number {
    return this.#byMember.size
  }

  begin(member: number, kind: 'suspect' | 'stalled', accuser: string | undefined, refused: boolean): void {
    this.end(member)
    const suspicion: Suspicion = {
      kind,
      startedMs: this.#context.nowMs,
      deadlineMs: Number.POSITIVE_INFINITY,
      token: 0,
      accusers: new Set(accuser === undefined ? [] : [accuser]),
      refusers: new Set(accuser !== undefined && refused ? [accuser] : []),
      postponed: 0,
    }
    this.#byMember.set(member, suspicion)
    this.#settle(member, suspicion)
  }

  /** True where this accuser, or that it was refused, is news. */
  confirm(member: number, accuser: string, refused: boolean): boolean {
    const suspicion = this.#byMember.get(member)
    if (suspicion === undefined) return false
    const isNews = !suspicion.accusers.has(accuser) || (refused && !suspicion.refusers.has(accuser))
    if (!isNews || suspicion.accusers.size > 2 * this.#context.settings.suspicionConfirmations) return false
    suspicion.accusers.add(accuser)
    if (refused) suspicion.refusers.add(accuser)
    this.#settle(member, suspicion)
    return true
  }

  end(member: number): void {
    const suspicion = this.#byMember.get(member)
    if (suspicion === undefined) return
    this.#byToken.delete(suspicion.token)
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
      suspicion.deadlineMs = Number.POSITIVE_INFINITY
      this.#settle(member, suspicion)
    }
  }

  /** This node slept: nobody has had a chance to answer it. */
  restartAll(): void {
    for (const [member, suspicion] of this.#byMember) this.#restart(member, suspicion)
  }

  /** The member whose time is over; undefined for a stale token. */
  expire(token: number): number | undefined {
    const member = this.#byToken.get(token)
    if (member !== undefined) this.end(member)
    return member
  }

  #restart(member: number, suspicion: Suspicion): void {
    suspicion.startedMs = this.#context.nowMs
    suspicion.deadlineMs = Number.POSITIVE_INFINITY
    suspicion.refusers.clear()
    this.#settle(member, suspicion)
  }

  #settle(member: number, suspicion: Suspicion): void {
    const { settings, table, nowMs } = this.#context
    const members = table.live
    const timeoutMs =
      suspicion.kind === 'stalled'
        ? settings.stalledTimeoutMs
        : suspicionTimeoutMs(members, Math.max(0, suspicion.accusers.size - 1), settings)
    const refusersNeeded = Math.min(2, Math.max(1, members - 1))
    let deadlineMs = suspicion.startedMs + timeoutMs
    if (suspicion.refusers.size >= refusersNeeded)
      deadlineMs = Math.min(deadlineMs, nowMs + settings.refusedSuspicionMs)
    if (deadlineMs >= suspicion.deadlineMs) return
    this.#byToken.delete(suspicion.token)
    suspicion.deadlineMs = deadlineMs
    suspicion.token = this.#context.schedule('suspicion', Math.max(0, deadlineMs - nowMs))
    this.#byToken.set(suspicion.token, member)
  }
}
