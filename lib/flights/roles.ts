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
  parentWord: (Pick<Progress, 'state' | 'offset'> & { readonly quietMs: number }) | undefined
  /** When the transfer from the parent was last seen running. */
  watchedMs: number
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
    parentWord: undefined,
    watchedMs: nowMs,
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
 * What a child is told. Only a leader's silence counts: a follower's is its parent's, unless the parent has more than it takes.
 */
export function wordOf(
  role: OwnRole,
  nowMs: number,
  settings: FlightSettings,
): Progress & { quietMs: number } {
  const { progress, parentWord } = role
  const quietMs = nowMs - role.grewMs
  if (role.role === 'lead') return { ...progress, quietMs }
  const lags = parentWord !== undefined && parentWord.offset > progress.offset && progress.state === 'open'
  return { ...progress, state: lags && quietMs >= settings.patienceMs ? 'stuck' : progress.state, quietMs: 0 }
}

/** Can the parent of this role still be counted on? */
export function isParentLost(role: OwnRole, nowMs: number, settings: FlightSettings): boolean {
  const word = role.parentWord
  if (nowMs - role.parentHeardMs >= settings.patienceMs) return true
  if (word === undefined) return false
  if (word.state === 'gone' || word.state === 'wrong' || word.state === 'stuck') return true
  return word.state === 'open' && word.quietMs >= settings.ceilingMs
}
