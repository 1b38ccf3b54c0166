import type { PeerId } from '../core/peer-id.ts'
import type { PendingClaim, StewardChoice } from './claims.ts'
import type { FlightMessage } from './messages.ts'
import type { FlightSettings } from './settings.ts'

type Verdict = Extract<FlightMessage, { type: 'verdict' }>

/** So long a steward that did not answer is not waited for again. */
const silentForMs = 5000
/** Answers that come later than this teach nothing. */
const lateForMs = 5000
/** A steward is given so many of the times that answers take. */
const usualTimes = 4
/** Part of the difference by which the usual time comes down when an answer is quicker; a slower one counts at once. */
const easing = 1 / 8

/**
 * How long answers of stewards are waited for. To go upstream by mistake costs a copy, to wait in vain costs a pull that is alone
 * time: so the last wait is a few of the usual times, and a long one only while others are known to pull the same.
 */
export class StewardWaits {
  readonly #settings: FlightSettings
  /** Stewards that were waited for in vain: until when that counts, and how long it was. */
  readonly #silent = new Map<PeerId, { readonly untilMs: number; readonly waitedMs: number }>()
  readonly #asked = new Map<number, PendingClaim>()
  #usualMs: number | undefined
  #crowdUntilMs = Number.NEGATIVE_INFINITY

  constructor(settings: FlightSettings) {
    this.#settings = settings
  }

  /** This node follows somebody, or is followed: others pull the same image. */
  metOthers(nowMs: number): void {
    this.#crowdUntilMs = nowMs + this.#settings.crowdForMs
  }

  heard(peerId: PeerId): void {
    this.#silent.delete(peerId)
  }

  asked(claim: PendingClaim, nowMs: number): void {
    for (const [id, { askedMs }] of this.#asked) {
      if (nowMs - askedMs < lateForMs) break
      this.#asked.delete(id)
    }
    this.#asked.set(claim.id, claim)
  }

  /** A steward answered, in time or too late, or after another one. */
  answered(from: PeerId, { id, verdict }: Pick<Verdict, 'id' | 'verdict'>, nowMs: number): void {
    const claim = this.#asked.get(id)
    const choice = claim?.stewards.find(({ peerId }) => peerId === from)
    if (claim === undefined || choice === undefined) return
    if (choice.self !== true) this.took(nowMs - claim.askedMs)
    if (verdict === 'follow') this.metOthers(nowMs)
  }

  /** Another node took this long to answer. */
  took(tookMs: number): void {
    const known = this.#usualMs ?? tookMs
    this.#usualMs = tookMs >= known ? tookMs : known + (tookMs - known) * easing
  }

  /** For how long a parent may be silent: where answers take seconds, one that says nothing for two may be well. */
  patienceMs(): number {
    const { patienceMs, ceilingMs } = this.#settings
    return Math.max(patienceMs, Math.min(ceilingMs / 2, usualTimes * (this.#usualMs ?? 0)))
  }

  /** A steward has been waited for in vain for this long. */
  passedOver(peerId: PeerId, waitedMs: number, nowMs: number): void {
    for (const [peer, { untilMs }] of this.#silent) if (untilMs <= nowMs) this.#silent.delete(peer)
    const longer = Math.max(waitedMs, this.#silent.get(peerId)?.waitedMs ?? 0)
    this.#silent.set(peerId, { untilMs: nowMs + silentForMs, waitedMs: longer })
  }

  /** Is only another steward to be waited for? */
  isSilent({ peerId, doubtful }: StewardChoice, nowMs: number): boolean {
    return doubtful === true || this.#waitedInVain(peerId, nowMs) > 0
  }

  /** How long to wait for this one before the second choice is asked as well. */
  firstMs({ budgetMs }: StewardChoice): number {
    return Math.max(this.#settings.claimBudgetMs, budgetMs)
  }

  /** How long to wait before the request goes upstream, when all of these have been asked. */
  lastMs(stewards: readonly StewardChoice[], nowMs: number): number {
    const { claimBudgetMs, secondBudgetMs, crowdBudgetMs } = this.#settings
    const budgetMs = stewards.at(-1)?.budgetMs ?? 0
    const bounds = { leastMs: claimBudgetMs, unknownMs: secondBudgetMs, mostMs: crowdBudgetMs }
    const lastMs = Math.max(budgetMs, this.#wait(bounds, nowMs))
    // Whom membership suspects, and who was silent through as long a wait before, is not worth another one.
    const isVain = stewards.every(
      ({ peerId, doubtful }) => doubtful === true || this.#waitedInVain(peerId, nowMs) >= lastMs,
    )
    return isVain ? claimBudgetMs : lastMs
  }

  /** For how much longer the first choice's answer goes before the second's. */
  graceMs(nowMs: number): number {
    const { claimBudgetMs, firstGraceMs, crowdGraceMs } = this.#settings
    return this.#wait({ leastMs: claimBudgetMs / 2, unknownMs: firstGraceMs, mostMs: crowdGraceMs }, nowMs)
  }

  /** The claim goes upstream: its stewards have had their time. */
  gaveUp({ stewards, askedMs }: PendingClaim, nowMs: number): void {
    for (const { peerId } of stewards) this.passedOver(peerId, nowMs - askedMs, nowMs)
  }

  /** A few of the usual times; `unknownMs` where nothing has been answered yet, `mostMs` in a crowd. */
  #wait(bounds: { leastMs: number; unknownMs: number; mostMs: number }, nowMs: number): number {
    const { leastMs, unknownMs, mostMs } = bounds
    if (nowMs < this.#crowdUntilMs) return mostMs
    if (this.#usualMs === undefined) return unknownMs
    return Math.min(mostMs, Math.max(leastMs, usualTimes * this.#usualMs))
  }

  #waitedInVain(peerId: PeerId, nowMs: number): number {
    const known = this.#silent.get(peerId)
    return known === undefined || known.untilMs <= nowMs ? 0 : known.waitedMs
  }
}
