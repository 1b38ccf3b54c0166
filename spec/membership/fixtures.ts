import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { MemberRecord } from '../../lib/core/peer.ts'
import { type PeerId, peerIdFromPublicKey } from '../../lib/core/peer-id.ts'
import { MemberDirectory } from '../../lib/membership/directory.ts'
import type { Effect, Timer } from '../../lib/membership/events.ts'
import { MembershipMachine } from '../../lib/membership/machine.ts'
import { type Claim, decodeMessage, encodeMessage, messageType } from '../../lib/membership/messages.ts'
import { hashRegistries, type SignedRecord, signRecord } from '../../lib/membership/record.ts'
import { stateCode } from '../../lib/membership/states.ts'
import { seededRng } from '../sim/random.ts'

export interface TestIdentity {
  readonly peerId: PeerId
  readonly key: KeyObject
}

export function makeIdentity(): TestIdentity {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
  return { peerId: peerIdFromPublicKey(raw), key: privateKey }
}

export function makeRecord(peerId: PeerId, fields: Partial<MemberRecord> = {}): MemberRecord {
  return {
    peerId,
    sequence: 1,
    name: `node-${peerId.slice(-6)}`,
    p2p: [{ host: '10.0.0.1', port: 5001 }],
    registryPort: 6443,
    zone: 'z1',
    role: 'agent',
    version: '0.1.0',
    registriesCount: 1,
    registriesHash: hashRegistries(['docker.io']),
    certificateKeyHash: new Uint8Array(32).fill(3),
    ...fields,
  }
}

export function makeSigned(fields: Partial<MemberRecord> = {}, identity = makeIdentity()): SignedRecord {
  return signRecord(makeRecord(identity.peerId, fields), identity.key)
}

/** One machine with members that a spec plays. Time begins at 0. */
export class Bench {
  readonly own = makeSigned({ name: 'self' })
  readonly members: SignedRecord[]
  readonly machine: MembershipMachine
  readonly effects: Effect[] = []

  constructor(members: number) {
    this.machine = new MembershipMachine({
      self: this.own,
      incarnation: 1,
      directory: new MemberDirectory(),
      rng: seededRng(1),
    })
    this.members = Array.from({ length: members }, () => makeSigned())
    for (const member of this.members) this.admit(member)
    this.effects.length = 0
  }

  admit(signed: SignedRecord): void {
    this.hear(this.claim(signed, 'alive', 1))
    this.step({ type: 'record', signed })
  }

  step(event: Parameters<MembershipMachine['step']>[0], nowMs = 0): Effect[] {
    const effects = this.machine.step(event, nowMs)
    this.effects.push(...effects)
    return effects
  }

  /** What a member sends; by default gossip. */
  send(
    from: SignedRecord,
    claims: readonly Claim[],
    options: { type?: number; sequence?: number; incarnation?: number; nowMs?: number } = {},
  ): Effect[] {
    const { type = messageType.gossip, sequence = 0, incarnation = 1, nowMs = 0 } = options
    const body = encodeMessage({ type, sequence, incarnation, hash: from.hash, claims })
    const replyTo = { host: '10.9.9.9', port: 1 }
    return this.step({ type: 'message', from: from.record.peerId, body, replyTo }, nowMs)
  }

  /** Applies claims as if an attested stranger had pushed them. */
  hear(...claims: Claim[]): Effect[] {
    return this.step({ type: 'claims', from: this.own.record.peerId, claims })
  }

  claim(
    signed: SignedRecord,
    state: keyof typeof stateCode,
    incarnation: number,
    more: Partial<Claim> = {},
  ): Claim {
    return { shortId: signed.shortId, state: stateCode[state], incarnation, hash: signed.hash, ...more }
  }

  view(signed: SignedRecord) {
    return this.machine.get(signed.record.peerId)
  }

  observed(what: string): number {
    return this.effects.filter((effect) => effect.type === 'observed' && effect.what === what).length
  }
}

/** The timers of one kind that a step has set. */
export const timers = (effects: readonly Effect[], kind: Timer['kind']) =>
  effects.flatMap((effect) =>
    effect.type === 'schedule' && effect.timer.kind === kind ? [effect.timer] : [],
  )

/** The messages of one type that a step has sent. */
export const sent = (effects: readonly Effect[], type: number) =>
  effects.flatMap((effect) => {
    if (effect.type !== 'send') return []
    const message = decodeMessage(effect.body)
    return message.type === type ? [{ ...effect, message }] : []
  })
