import type { MemberState } from '../core/peer.ts'

/** States as one byte, in the table and on the wire. 0 is "not a member". */
export const stateCode = { alive: 1, suspect: 2, stalled: 3, dead: 4, left: 5 } as const

export type StateCode = (typeof stateCode)[keyof typeof stateCode]

const names: readonly MemberState[] = ['alive', 'suspect', 'stalled', 'dead', 'left']

export function stateOfCode(code: number): MemberState | undefined {
  return names[code - 1]
}

/** Is it worth a probe: does it live, or may it? */
export function isProbed(code: number): boolean {
  return code >= stateCode.alive && code <= stateCode.stalled
}

/** May it be asked to help: to probe for us, to pass rumours on? */
export function isHelpful(code: number): boolean {
  return code === stateCode.alive || code === stateCode.suspect
}

/**
 * Does a claim replace what is known? A higher incarnation always does; of the same one the graver state counts, so
 * that all orders of arrival end alike (SWIM paper §4.2, with `stalled` between suspicion and death).
 */
export function overrides(
  claimed: { readonly incarnation: number; readonly state: number },
  known: { readonly incarnation: number; readonly state: number },
): boolean {
  return claimed.incarnation === known.incarnation
    ? claimed.state > known.state
    : claimed.incarnation > known.incarnation
}
