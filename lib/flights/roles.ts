import type { PeerId } from '../core/peer-id.ts'
import type { FlightKey } from './flight-key.ts'
import type { Progress, Role } from './messages.ts'
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
