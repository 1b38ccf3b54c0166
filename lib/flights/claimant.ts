import type { PeerId } from '../core/peer-id.ts'
import type { ClaimantEffect, ClaimantEvent, ClaimantView, Want } from './claimant-events.ts'
import { ClaimBook, type PendingClaim } from './claims.ts'
import { type FlightKey, keyText } from './flight-key.ts'
import { type FlightMessage, maxNamedPeers, type Progress, type Role } from './messages.ts'
import {
  beginRole,
  type GivenRole,
  isParentLost,
  noteAsk,
  noteLag,
  notePassed,
  noteWord,
  type OwnRole,
  progressOf,
  type RoleEnd,
  roleEnd,
  wantsWord,
  wordOf,
} from './roles.ts'
import type { FlightSettings } from './settings.ts'
import { StewardWaits } from './steward-waits.ts'
import { OwnWrongBytes } from './wrong-bytes.ts'

/** A late answer of a steward counts for this long after the request went upstream. */
const lateMs = 1000

/**
 * This node's part in flights. A claim ends in a verdict within the budgets of its stewards; a role ends when the blob is held,
 * its download is gone or stands still, or nothing is heard of it. Nothing waits for ever.
 */
export class Claimant {
  readonly #settings: FlightSettings
  readonly #view: ClaimantView
  readonly #roles = new Map<string, OwnRole>()
  readonly #claims = new ClaimBook()
  /** Claims whose requests have gone upstream. */
  readonly #late = new ClaimBook()
  readonly #waits: StewardWaits
  readonly #wrongBytes: OwnWrongBytes
  #nextId = 1

  constructor(settings: FlightSettings, view: ClaimantView) {
    this.#settings = settings
    this.#view = view
    this.#waits = new StewardWaits(settings)
    this.#wrongBytes = new OwnWrongBytes(settings)
  }

  get roles(): ReadonlyMap<string, Readonly<OwnRole>> {
    return this.#roles
  }

  /** Monotonic time at which `wake` is due; undefined where nothing is under way. */
  get wakeAtMs(): number | undefined {
    let at = Math.min(this.#claims.nextDueMs, this.#late.nextDueMs)
    for (const { nextLookMs, nextWordMs, nextAskMs } of this.#roles.values()) {
      at = Math.min(at, nextLookMs, nextWordMs, nextAskMs)
    }
    return at === Number.POSITIVE_INFINITY ? undefined : at
  }

  /** Is there something of this that others may have, or will be? A steward may name who has not heard its answer yet. */
  serves(key: FlightKey): boolean {
    return this.hasRole(key) || this.#pending(key) !== undefined
  }

  hasRole(key: FlightKey): boolean {
    return this.#roles.has(keyText(key))
  }

  #pending(key: FlightKey): PendingClaim | undefined {
    const text = keyText(key)
    const isOfIt = (claim: PendingClaim): boolean => keyText(claim.key) === text && claim.message.slots > 0
    return this.#claims.find(isOfIt) ?? this.#late.find(isOfIt)
  }

  /**
   * Does the transfer from this parent, which is running, make sense still?
   * @param passedBytes offset behind the last byte that has come from it; a download in the store shows it only in large steps
   */
  watch(key: FlightKey, parent: PeerId, passedBytes: number, nowMs: number): 'alive' | 'lost' {
    const role = this.#roles.get(keyText(key))
    if (role?.role !== 'follow' || role.parent !== parent) return 'alive'
    notePassed(role, passedBytes, nowMs)
    return this.#isParentLost(role, nowMs) ? 'lost' : 'alive'
  }

  #isParentLost(role: OwnRole, nowMs: number): boolean {
    return isParentLost(role, nowMs, this.#waits.patienceMs(), this.#settings)
  }

  step(event: ClaimantEvent, nowMs: number): ClaimantEffect[] {
    const effects: ClaimantEffect[] = []
    if (event.type === 'want') this.#want(event, nowMs, effects)
    else if (event.type === 'message') this.#message(event.from, event.message, nowMs, effects)
    else if (event.type === 'seen') this.#seen(event.key, event.progress, nowMs, effects)
    else if (event.type === 'held') this.#end(event.key, 'complete', effects)
    else if (event.type === 'followed') {
      this.#waits.metOthers(nowMs)
      this.#waitLonger(nowMs)
    } else if (event.type === 'wrong') this.#wrong(event.key, nowMs, effects)
    else this.#wake(nowMs, effects)
    return effects
  }

  #want(want: Want, nowMs: number, effects: ClaimantEffect[]): void {
    const key: FlightKey = { registry: want.registry, digest: want.digest }
    const text = keyText(key)
    const role = this.#roles.get(text)
    const verdict = (what: Role | 'upstream', parent?: PeerId): void =>
      void effects.push({ type: 'verdict', request: want.request, key, verdict: what, parent })
    if (role?.role === 'lead') {
      verdict('lead')
      return
    }
    if (role?.parent !== undefined && !want.lost.includes(role.parent)) {
      if (!this.#isParentLost(role, nowMs)) {
        role.watchedMs = nowMs
        verdict('follow', role.parent)
        return
      }
    }
    const waiting = this.#claims.find((claim) => keyText(claim.key) === text)
    if (waiting !== undefined) {
      waiting.requests.push(want.request)
      return
    }
    const [first] = want.stewards
    const isSpoiled = this.#wrongBytes.isSpoiled(key, want.seen, nowMs)
    if (
      first === undefined ||
      isSpoiled ||
      this.#roles.size + this.#claims.size >= this.#settings.maxFlights
    ) {
      verdict('upstream')
      return
    }
    const lost = role?.parent === undefined ? want.lost : [...new Set([role.parent, ...want.lost])]
    const { offset = 0, sizeBytes } = want.seen ?? {}
    const id = this.#nextId++
    const message = {
      type: 'claim',
      id,
      ...key,
      slots: want.seen === undefined || !this.#wrongBytes.mayLead(nowMs) ? 0 : want.slots,
      offset,
      sizeBytes,
      lost: lost.slice(0, maxNamedPeers),
      holders: want.holders.slice(0, maxNamedPeers),
    } as const
    const asked = { stewards: want.stewards, askedMs: nowMs, asked: 0, deadlineMs: nowMs }
    const claim = { id, key, message, requests: [want.request], ...asked }
    this.#claims.add(claim)
    this.#waits.asked(claim, nowMs)
    this.#askSteward(claim, nowMs, effects)
  }

  /** One that is suspect, or was silent a moment ago, may answer, but only the next one is waited for. */
  #askSteward(claim: PendingClaim, nowMs: number, effects: ClaimantEffect[]): void {
    const { stewards } = claim
    for (let choice = stewards[claim.asked]; choice !== undefined; choice = stewards[++claim.asked]) {
      effects.push({ type: 'send', to: choice.peerId, message: claim.message })
      const isLast = claim.asked === stewards.length - 1
      if (!isLast && this.#waits.isSilent(choice, nowMs)) continue
      claim.deadlineMs = nowMs + (isLast ? this.#waits.lastMs(stewards, nowMs) : this.#waits.firstMs(choice))
      return
    }
  }

  /** What was learnt counts for claims that wait already, too. */
  #waitLonger(nowMs: number): void {
    this.#claims.lengthen((claim) => claim.askedMs + this.#waits.lastMs(claim.stewards, nowMs))
  }

  #message(from: PeerId, message: FlightMessage, nowMs: number, effects: ClaimantEffect[]): void {
    this.#waits.heard(from)
    if (message.type === 'verdict') {
      this.#waits.answered(from, message, nowMs)
      this.#decided(from, message, nowMs, effects)
      this.#waitLonger(nowMs)
    } else if (message.type === 'ask') {
      const { registry, digest } = message
      const asked = { role: this.#roles.get(keyText(message)), claim: this.#pending(message) }
      const word = wordOf({ ...asked, isHeld: this.#view.isHeld(message) }, nowMs, this.#settings)
      effects.push({ type: 'send', to: from, message: { type: 'word', registry, digest, ...word } })
    } else if (message.type === 'word') {
      const role = this.#roles.get(keyText(message))
      if (role?.role === 'lead' && message.state === 'wrong' && role.stewards.includes(from))
        this.#wrong(role.key, nowMs, effects)
      if (role?.parent !== from) return
      const tookMs = noteWord(role, message, nowMs)
      if (tookMs !== undefined) this.#waits.took(tookMs)
    }
  }

  #decided(
    from: PeerId,
    message: Extract<FlightMessage, { type: 'verdict' }>,
    nowMs: number,
    effects: ClaimantEffect[],
  ): void {
    const asked = (claim: PendingClaim | undefined): boolean =>
      claim?.stewards.some(({ peerId }) => peerId === from) === true
    const claim = this.#claims.find(({ id }) => id === message.id)
    if (claim === undefined) {
      const late = this.#late.find(({ id }) => id === message.id)
      if (late === undefined || !asked(late)) return
      this.#late.take(late.id)
      // It goes upstream already: whatever the steward thought, others may follow it.
      if (late.message.slots > 0 && message.verdict !== 'none' && !this.hasRole(late.key))
        this.#begin(late, { ...message, role: 'lead', parent: undefined, steward: from }, nowMs, effects)
      return
    }
    if (!asked(claim)) return
    const { firstUntilMs = nowMs } = claim
    if (nowMs < firstUntilMs && from !== claim.stewards[0]?.peerId) {
      // Two stewards that arrange the same flight make two trees of it, and two copies from upstream.
      claim.held = { from, message }
      claim.deadlineMs = firstUntilMs
      return
    }
    this.#claims.take(claim.id)
    const { verdict, parent, intervalMs } = message
    if (verdict === 'none') {
      this.#settle(claim, 'upstream', undefined, effects)
      return
    }
    this.#begin(claim, { role: verdict, parent, steward: from, intervalMs }, nowMs, effects)
    this.#settle(claim, verdict, parent, effects)
  }

  #begin(claim: PendingClaim, given: GivenRole, nowMs: number, effects: ClaimantEffect[]): void {
    const { key, held } = claim
    const known = this.#roles.get(keyText(key))
    const begun = beginRole(claim, given, known, nowMs, this.#settings)
    this.#roles.set(keyText(key), begun)
    if (held !== undefined && held.from !== given.steward && given.role === 'follow') {
      const message = progressOf(begun, { ...begun.progress, state: 'gone' })
      effects.push({ type: 'send', to: held.from, message })
    }
    // A steward that was only late, or is asked because the other is, should know before it makes a second one lead.
    if (given.role === 'lead' || this.#view.stewardOf(key) !== given.steward)
      this.#tell(begun, begun.progress, effects)
  }

  #settle(
    claim: PendingClaim,
    verdict: Role | 'upstream',
    parent: PeerId | undefined,
    effects: ClaimantEffect[],
  ): void {
    for (const request of claim.requests)
      effects.push({ type: 'verdict', request, key: claim.key, verdict, parent })
  }

  #seen(key: FlightKey, progress: Progress | undefined, nowMs: number, effects: ClaimantEffect[]): void {
    const role = this.#roles.get(keyText(key))
    if (role === undefined) return
    if (progress === undefined) {
      if (role.progress.state !== 'absent') this.#end(key, 'cancelled', effects)
      return
    }
    if (progress.state === 'wrong') {
      this.#wrong(key, nowMs, effects)
      return
    }
    const grew = progress.offset > role.progress.offset || progress.state !== role.progress.state
    if (grew) role.grewMs = nowMs
    role.progress = progress
    noteLag(role, grew, nowMs)
  }

  #wake(nowMs: number, effects: ClaimantEffect[]): void {
    for (const claim of this.#late.due(nowMs)) this.#late.take(claim.id)
    for (const claim of this.#claims.givenUp(nowMs)) this.#nextSteward(claim, nowMs, effects)
    for (const role of [...this.#roles.values()]) {
      const why = roleEnd(role, nowMs, this.#settings)
      if (why !== undefined) {
        this.#end(role.key, why, effects)
        continue
      }
      if (role.nextAskMs <= nowMs) {
        const { wordIntervalMs } = this.#settings
        role.nextAskMs = nowMs + wordIntervalMs
        if (role.parent !== undefined && wantsWord(role, nowMs, wordIntervalMs)) {
          noteAsk(role, nowMs)
          effects.push({ type: 'send', to: role.parent, message: { type: 'ask', ...role.key } })
        }
      }
      if (role.nextLookMs <= nowMs) {
        role.nextLookMs = nowMs + this.#settings.wordIntervalMs
        effects.push({ type: 'look', key: role.key })
      }
      if (role.nextWordMs > nowMs) continue
      role.nextWordMs = nowMs + role.intervalMs
      this.#tell(role, role.progress, effects)
    }
  }

  #nextSteward(claim: PendingClaim, nowMs: number, effects: ClaimantEffect[]): void {
    const { held } = claim
    if (held !== undefined) {
      this.#decided(held.from, held.message, nowMs, effects)
      return
    }
    if (claim.asked < claim.stewards.length - 1) {
      const passed = claim.stewards[claim.asked++]
      claim.firstUntilMs = nowMs + this.#waits.graceMs(nowMs)
      if (passed !== undefined) this.#waits.passedOver(passed.peerId, nowMs - claim.askedMs, nowMs)
      this.#askSteward(claim, nowMs, effects)
      return
    }
    this.#waits.gaveUp(claim, nowMs)
    this.#claims.take(claim.id)
    claim.deadlineMs = nowMs + lateMs
    this.#late.add(claim)
    this.#end(claim.key, 'upstream', effects)
    this.#settle(claim, 'upstream', undefined, effects)
  }

  /** To the steward that arranged it, and to the one that would be asked now; of a leader both choices know. */
  #tell(role: OwnRole, progress: Progress, effects: ClaimantEffect[]): void {
    const message = progressOf(role, progress)
    const both = role.role === 'lead' ? role.stewards : []
    for (const to of new Set([role.steward, this.#view.stewardOf(role.key), ...both])) {
      if (to !== undefined) effects.push({ type: 'send', to, message })
    }
  }

  #wrong(key: FlightKey, nowMs: number, effects: ClaimantEffect[]): void {
    const role = this.#roles.get(keyText(key))
    this.#wrongBytes.add(key, role?.progress.offset ?? 0, role?.role === 'lead', nowMs)
    this.#end(key, 'wrong', effects)
  }

  #end(key: FlightKey, why: RoleEnd, effects: ClaimantEffect[]): void {
    const role = this.#roles.get(keyText(key))
    if (role === undefined) return
    this.#roles.delete(keyText(key))
    const state = why === 'wrong' ? 'wrong' : 'gone'
    this.#tell(role, { ...role.progress, state }, effects)
    effects.push({ type: 'ended', key: role.key, role: role.role, why })
  }
}
