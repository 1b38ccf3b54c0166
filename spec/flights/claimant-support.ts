import { Claimant } from '../../lib/flights/claimant.ts'
import type { ClaimantEffect, Want } from '../../lib/flights/claimant-events.ts'
import type { FlightMessage } from '../../lib/flights/messages.ts'
import { defaultFlightSettings } from '../../lib/flights/settings.ts'
import { key, peer } from './support.ts'

export const settings = defaultFlightSettings
export const [first, second, parent] = [peer(1), peer(2), peer(3)]
export const seen = { state: 'open', offset: 0, sizeBytes: 100 } as const

export function want(request: number, more: Partial<Want> = {}): { type: 'want' } & Want {
  const stewards = [first, second].map((peerId) => ({ peerId, budgetMs: 20 }))
  return { type: 'want', request, ...key, seen, slots: 4, lost: [], holders: [], stewards, ...more }
}

/** @param isHeld what the store of the node says */
export function claimant(isHeld = false): Claimant {
  return new Claimant(settings, { stewardOf: () => first, isHeld: () => isHeld })
}

export function verdict(id: number, what: 'lead' | 'follow' | 'none', from = first, intervalMs = 500) {
  const message: FlightMessage = {
    type: 'verdict',
    id,
    verdict: what,
    parent: what === 'follow' ? parent : undefined,
    intervalMs,
  }
  return { type: 'message', from, message } as const
}

export function verdicts(effects: readonly ClaimantEffect[]): unknown[] {
  return effects.flatMap((effect) =>
    effect.type === 'verdict' ? [[effect.request, effect.parent ?? effect.verdict]] : [],
  )
}

export function sent(effects: readonly ClaimantEffect[], type: FlightMessage['type']): unknown[] {
  return effects.flatMap((effect) =>
    effect.type === 'send' && effect.message.type === type ? [effect.to] : [],
  )
}

/** The state that a child is told. */
export function wordIn([effect]: readonly ClaimantEffect[]): string | undefined {
  return effect?.type === 'send' && effect.message.type === 'word' ? effect.message.state : undefined
}
