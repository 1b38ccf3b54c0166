import type { MachineContext } from './context.ts'
import { maxAccusers } from './messages.ts'
import type { MembershipSettings } from './settings.ts'

interface Suspicion {
  readonly kind: 'suspect' | 'stalled'
  startedMs: number
  /** When it ends, in steps of `stepMs`; undefined before that was said. */
  due: number | undefined
  voices: Voices
  postponed: number
}

/** Who suspects a member. */
export interface Voices {
  /** Short ids, of up to `maxAccusers`. */
  readonly accusers: readonly string[]
  /** So many of them, from the first on, were refused by its host. */
  readonly refused: number
}

/** So many must have been refused, where there are so many. */
const enoughRefused = 2

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

  /** Who suspects this member as far as it is known here; undefined where nobody does. */
  voicesOf(member: number): Voices | undefined {
    return this.#byMember.get(member)?.voices
  }

  begin(member: number, kind: 'suspect' | 'stalled', voices: Voices): void {
    const suspicion: Suspicion = {
      kind,
      startedMs: this.#context.nowMs,
      due: undefined,
      voices,
      postponed: 0,
    }
    this.#byMember.set(member, suspicion)
    this.#settle(member, suspicion)
  }

  /** Would it be news, and count, that this one suspects the member? */
  lacks(member: number, accuser: string, isRefused: boolean): boolean {
    const voices = this.#byMember.get(member)?.voices
    if (voices === undefined) return false
    const { accusers, refused } = voices
    const at = accusers.indexOf(accuser)
    if (isRefused) return refused < enoughRefused && (at === -1 || at >= refused)
    return at === -1 && accusers.length < maxAccusers
  }

  /** One more voice, which `lacks` has called news. */
  confirm(member: number, accuser: string, isRefused: boolean): void {
    const suspicion = this.#byMember.get(member)
    if (suspicion === undefined) return
    const { accusers, refused } = suspicion.voices
    const others = accusers.filter((one) => one !== accuser)
    suspicion.voices = isRefused
      ? { accusers: [accuser, ...others].slice(0, maxAccusers), refused: refused + 1 }
      : { accusers: [...others, accuser], refused }
    this.#settle(member, suspicion)
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
    suspicion.voices = { ...suspicion.voices, refused: 0 }
    this.#settle(member, suspicion)
  }

  /** Says when it ends, which may have come nearer. */
  #settle(member: number, suspicion: Suspicion): void {
    const { settings, table, nowMs } = this.#context
    const members = table.live
    const { kind, startedMs } = suspicion
    const { accusers, refused } = suspicion.voices
    const timeoutMs =
      kind === 'stalled'
        ? settings.stalledTimeoutMs
        : suspicionTimeoutMs(members, Math.max(0, accusers.length - 1), settings)
    const deadlineMs = startedMs + timeoutMs
    const isRefused = refused >= Math.min(enoughRefused, Math.max(1, members - 1))
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
