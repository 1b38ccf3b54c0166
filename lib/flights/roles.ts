import type { PeerId } from '../core/peer-id.ts'
import type { PendingClaim } from './claims.ts'
import type { FlightKey } from './flight-key.ts'
import type { FlightMessage, Progress, Role } from './messages.ts'
import type { FlightSettings } from './settings.ts'

/** What this node does in one flight. */
export interface OwnRole {
  readonly key: FlightKey
  role: Role
  /** The steward that gave the role; undefined where none is known. */
  steward: PeerId | undefined
  /** All that were to be asked. */
  stewards: readonly PeerId[]
  parent: PeerId | undefined
  progress: Progress
  slots: number
  /** When it grew last, or began. */
  grewMs: number
  /** The parent's last word, and what it said. */
  parentHeardMs: number
  /** Questions to it since, and when the first of them was sent. */
  unanswered: number
  askedMs: number
  parentWord: (Pick<Progress, 'state' | 'offset'> & { readonly quietMs: number }) | undefined
  /** When the transfer from the parent was last seen running, and how far it had come. */
  watchedMs: number
  passedBytes: number
  /** When it came further last. */
  passedMs: number
  /** Since when the parent has had more than this one took, and this one took nothing; undefined where that is not so. */
  lagsSinceMs: number | undefined
  intervalMs: number
  nextLookMs: number
  nextWordMs: number
  nextAskMs: number
}

/** Why a role is over. */
export type RoleEnd = 'complete' | 'cancelled' | 'stalled' | 'absent' | 'upstream' | 'wrong'

/** What a steward gave. */
export interface GivenRole {
  readonly role: Role
  readonly parent: PeerId | undefined
  readonly steward: PeerId
  readonly intervalMs: number
}

/** The role that a claim was answered with. @param known what this node was in that flight before */
export function beginRole(
  { key, message, stewards }: PendingClaim,
  { role, parent, steward, intervalMs }: GivenRole,
  known: OwnRole | undefined,
  nowMs: number,
  { wordIntervalMs }: FlightSettings,
): OwnRole {
  const { offset, sizeBytes, slots } = message
  const interval = Math.max(wordIntervalMs, Math.min(intervalMs, 60_000))
  return {
    key,
    role,
    steward,
    stewards: stewards.map(({ peerId }) => peerId),
    parent: role === 'follow' ? parent : undefined,
    progress: known?.progress ?? { state: slots > 0 ? 'open' : 'absent', offset, sizeBytes },
    slots,
    grewMs: nowMs,
    parentHeardMs: nowMs,
    unanswered: 0,
    askedMs: nowMs,
    parentWord: undefined,
    watchedMs: nowMs,
    passedBytes: offset,
    passedMs: Number.NEGATIVE_INFINITY,
    lagsSinceMs: undefined,
    intervalMs: interval,
    nextLookMs: nowMs + wordIntervalMs,
    nextWordMs: nowMs + interval,
    nextAskMs: role === 'follow' ? nowMs + wordIntervalMs : Number.POSITIVE_INFINITY,
  }
}

/** What a steward is told of a role. */
export function progressOf(
  { key, role, parent, slots }: OwnRole,
  progress: Progress,
): Extract<FlightMessage, { type: 'progress' }> {
  const { registry, digest } = key
  return { type: 'progress', registry, digest, ...progress, role, parent, slots }
}

/** Is this role over at this time, and why? */
export function roleEnd(role: OwnRole, nowMs: number, settings: FlightSettings): RoleEnd | undefined {
  const { state } = role.progress
  const quietMs = nowMs - role.grewMs
  const watched = role.role === 'follow' && nowMs - role.watchedMs < settings.patienceMs
  if (state === 'absent') return !watched && quietMs >= settings.absentMs ? 'absent' : undefined
  if (state === 'done') return quietMs >= settings.doneForMs ? 'complete' : undefined
  return !watched && quietMs >= settings.ceilingMs ? 'stalled' : undefined
}

/**
 * What a child is told. Whose part is over because it has the whole says so: the last bytes may be on their way through its link
 * still. Whose claim waits may be decided already, only not have heard it. Else there is nothing.
 */
export function wordOf(
  own: {
    readonly role: OwnRole | undefined
    readonly isHeld: boolean
    readonly claim: PendingClaim | undefined
  },
  nowMs: number,
  settings: FlightSettings,
): Progress & { quietMs: number } {
  const { role, isHeld, claim } = own
  if (role !== undefined) return wordOfRole(role, nowMs, settings)
  if (isHeld) return { state: 'done', offset: 0, sizeBytes: undefined, quietMs: 0 }
  if (claim === undefined) return { state: 'gone', offset: 0, sizeBytes: undefined, quietMs: 0 }
  const { offset, sizeBytes } = claim.message
  return { state: 'open', offset, sizeBytes, quietMs: nowMs - claim.askedMs }
}

/** Only a leader's silence counts: a follower's is its parent's, unless the parent has more than it takes. */
function wordOfRole(role: OwnRole, nowMs: number, settings: FlightSettings): Progress & { quietMs: number } {
  const { progress, lagsSinceMs } = role
  if (role.role === 'lead') return { ...progress, quietMs: nowMs - role.grewMs }
  const isStuck =
    lagsSinceMs !== undefined && progress.state === 'open' && nowMs - lagsSinceMs >= settings.patienceMs
  return { ...progress, state: isStuck ? 'stuck' : progress.state, quietMs: 0 }
}

/** The parent spoke. Returns how long its answer took; undefined where it was not asked. */
export function noteWord(
  role: OwnRole,
  { state, offset, quietMs }: Extract<FlightMessage, { type: 'word' }>,
  nowMs: number,
): number | undefined {
  const tookMs = role.unanswered > 0 ? nowMs - role.askedMs : undefined
  role.parentHeardMs = nowMs
  role.unanswered = 0
  role.parentWord = { state, offset, quietMs }
  noteLag(role, false, nowMs)
  return tookMs
}

/** Is a word of the parent wanted? While its bytes come they say more. */
export function wantsWord(
  { parent, progress, passedMs }: OwnRole,
  nowMs: number,
  intervalMs: number,
): boolean {
  return parent !== undefined && progress.state !== 'done' && nowMs - passedMs >= intervalMs
}

/** The parent is asked. */
export function noteAsk(role: OwnRole, nowMs: number): void {
  if (role.unanswered++ === 0) role.askedMs = nowMs
}

/** Bytes of the parent have come this far: that is as good as a word. */
export function notePassed(role: OwnRole, passedBytes: number, nowMs: number): void {
  role.watchedMs = nowMs
  const took = passedBytes > role.passedBytes
  if (took) {
    role.passedBytes = passedBytes
    role.passedMs = role.parentHeardMs = nowMs
    role.unanswered = 0
  }
  noteLag(role, took, nowMs)
}

/** A follower took bytes, or its parent spoke: how far the one is, the other may have more. */
export function noteLag(role: OwnRole, took: boolean, nowMs: number): void {
  const { progress, parentWord, passedBytes } = role
  const lags = parentWord !== undefined && parentWord.offset > Math.max(progress.offset, passedBytes)
  // What the parent did not have before nobody could take: the time counts from its word.
  if (!lags) role.lagsSinceMs = undefined
  else if (took || role.lagsSinceMs === undefined) role.lagsSinceMs = nowMs
}

/**
 * Can the parent of this role still be counted on?
 * @param patienceMs for how long it may be silent
 */
export function isParentLost(
  role: OwnRole,
  nowMs: number,
  patienceMs: number,
  settings: FlightSettings,
): boolean {
  const word = role.parentWord
  // Who got no processor meanwhile has not asked, and hears nothing for that reason alone.
  const asks = Math.max(1, Math.floor(settings.patienceMs / settings.wordIntervalMs) - 1)
  if (nowMs - role.parentHeardMs >= patienceMs && role.unanswered >= asks) return true
  if (word === undefined) return false
  if (word.state === 'gone' || word.state === 'wrong' || word.state === 'stuck') return true
  return word.state === 'open' && word.quietMs >= settings.ceilingMs
}
