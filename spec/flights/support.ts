import { createHash } from 'node:crypto'
import type { Digest } from '../../lib/core/digest.ts'
import { type PeerId, peerIdFromPublicKey } from '../../lib/core/peer-id.ts'
import type { FlightKey } from '../../lib/flights/flight-key.ts'
import type { FlightMessage } from '../../lib/flights/messages.ts'
import type { Steward, StewardEffect } from '../../lib/flights/steward.ts'

/** A PeerId that belongs to a number. */
export function peer(index: number): PeerId {
  return peerIdFromPublicKey(createHash('sha256').update(`peer ${index}`).digest())
}

export function digestOf(text: string): Digest {
  return `sha256:${createHash('sha256').update(text).digest('hex')}` as Digest
}

export const key: FlightKey = { registry: 'registry.test', digest: digestOf('layer') }

type Claim = Extract<FlightMessage, { type: 'claim' }>

export function claim(more: Partial<Claim> = {}): Claim {
  return {
    type: 'claim',
    ...key,
    id: 1,
    slots: 4,
    offset: 0,
    sizeBytes: 200 * 2 ** 20,
    lost: [],
    holders: [],
    ...more,
  }
}

/** The verdict that a steward gives to a claim, in words: `lead`, `none`, or the parent. */
export function ask(
  steward: Steward,
  from: PeerId,
  nowMs: number,
  more: Partial<Claim> & { zone?: string } = {},
): string {
  const { zone = '', ...rest } = more
  return verdictIn(steward.step({ type: 'message', from, zone, message: claim(rest) }, nowMs))
}

export function verdictIn(effects: readonly StewardEffect[]): string {
  for (const effect of effects) {
    if (effect.type !== 'send' || effect.message.type !== 'verdict') continue
    return effect.message.parent ?? effect.message.verdict
  }
  throw new Error('there is no verdict')
}

export function tell(
  steward: Steward,
  from: PeerId,
  nowMs: number,
  more: Partial<Extract<FlightMessage, { type: 'progress' }>> = {},
): readonly StewardEffect[] {
  const message = {
    type: 'progress',
    ...key,
    role: 'follow',
    parent: undefined,
    slots: 4,
    state: 'open',
    offset: 1,
    sizeBytes: 10,
    ...more,
  } as const
  return steward.step({ type: 'message', from, zone: '', message }, nowMs)
}
