import { StarlingError } from '../core/errors.ts'
import { maxDatagramBodySizeBytes } from '../core/messaging.ts'
import { shortIdSizeBytes } from '../core/peer-id.ts'
import { type Field, FieldWriter, readVersioned } from '../core/wire.ts'
import { recordHashSizeBytes } from './record.ts'
import { type StateCode, stateOfCode } from './states.ts'

/** Types 6 to 15 are reserved: receivers count them and pass on. */
export const messageType = { ping: 1, pingReq: 2, ack: 3, nack: 4, gossip: 5 } as const

/** What somebody says of a member. Compact: at most 80 bytes on the wire (DESIGN §4). */
export interface Claim {
  /** Short id of the member, hex. */
  readonly shortId: string
  readonly incarnation: number
  readonly state: StateCode
  /** Hash of its record, hex. */
  readonly hash: string
  /** Short ids of up to four who suspect it, hex: confirmations must be independent. */
  readonly accusers?: readonly string[]
  /** So many of the accusers, from the first on, were refused by the member's host: the process is gone. */
  readonly refused?: number
}

export interface Message {
  /** One of `messageType`, or a reserved one. */
  readonly type: number
  /** Joins a ping with its answers; 0 in gossip. */
  readonly sequence: number
  /** The sender's own incarnation and record. */
  readonly incarnation: number
  readonly hash: string
  /** The sender's reading of the cluster's clock, in milliseconds (see `MachineContext`); absent where it names none. */
  readonly clockMs?: number
  /** Short id of the member that is meant: of a ping, the receiver; of an indirect one, the third. */
  readonly target?: string
  readonly claims: readonly Claim[]
}

const field = { type: 1, sequence: 2, incarnation: 3, hash: 4, target: 5, claim: 6, clock: 7 } as const
const claimField = {
  shortId: 1,
  incarnation: 2,
  state: 3,
  hash: 4,
  accuser: 5,
  refused: 6,
  moreAccusers: 7,
} as const
/** So many accusers are told of a member: more would not shorten its suspicion. */
export const maxAccusers = 4
/** A later version may say more in a claim. */
const maxClaimInputBytes = 256
/** Incarnations are kept in 32 bits. */
export const maxIncarnation = 2 ** 32 - 1
const maxClaims = 64
/** Readings of the clock beyond this are taken for none: sums must stay exact. */
const maxClockMs = 2 ** 48

/** Bytes of a message without claims, at most. */
export const maxHeadSizeBytes = 51

/** Bytes of a claim in a message, at most. */
export function maxClaimSizeBytes({ accusers }: Claim): number {
  if (accusers === undefined) return 38
  return (accusers.length > 1 ? 44 : 42) + shortIdSizeBytes * accusers.length
}

/** @throws StarlingError FRAME_TOO_LARGE where it does not fit a datagram */
export function encodeMessage(message: Message): Uint8Array {
  const body = new FieldWriter()
    .uint(field.type, message.type)
    .uint(field.sequence, message.sequence)
    .uint(field.incarnation, message.incarnation)
    .uint(field.clock, message.clockMs)
    .bytes(field.hash, Buffer.from(message.hash, 'hex'))
    .bytes(field.target, message.target === undefined ? undefined : Buffer.from(message.target, 'hex'))
    .messages(field.claim, message.claims, writeClaim)
    .finishVersioned()
  if (body.length > maxDatagramBodySizeBytes)
    throw new StarlingError('FRAME_TOO_LARGE', `a membership message has ${body.length} bytes`)
  return body
}

/** Unknown fields are skipped and claims with an unknown state left out. @throws StarlingError WIRE_MALFORMED, FRAME_TOO_LARGE */
export function decodeMessage(body: Uint8Array): Message {
  if (body.length > maxDatagramBodySizeBytes)
    throw new StarlingError('FRAME_TOO_LARGE', `a membership message has ${body.length} bytes`)
  let type = 0
  let sequence = 0
  let incarnation = 0
  let hash = ''
  let clockMs: number | undefined
  let target: string | undefined
  const claims: Claim[] = []
  readVersioned(body, (part) => {
    if (part.number === field.type) type = part.uint()
    else if (part.number === field.sequence) sequence = part.uint()
    else if (part.number === field.incarnation) incarnation = boundedIncarnation(part.uint())
    else if (part.number === field.hash) hash = part.hex(recordHashSizeBytes)
    else if (part.number === field.target) target = part.hex(shortIdSizeBytes)
    else if (part.number === field.clock) {
      const value = part.uint()
      if (value <= maxClockMs) clockMs = value
    } else if (part.number === field.claim) {
      const claim = readClaim(part)
      if (claim !== undefined && claims.length < maxClaims) claims.push(claim)
    }
  })
  if (type === 0 || hash === '')
    throw new StarlingError('WIRE_MALFORMED', 'a membership message lacks a field')
  return {
    type,
    sequence,
    incarnation,
    hash,
    claims,
    ...(clockMs === undefined ? {} : { clockMs }),
    ...(target === undefined ? {} : { target }),
  }
}

export function writeClaim(writer: FieldWriter, claim: Claim): void {
  const [first, ...others] = claim.accusers ?? []
  writer
    .bytes(claimField.shortId, Buffer.from(claim.shortId, 'hex'))
    .uint(claimField.incarnation, claim.incarnation)
    .uint(claimField.state, claim.state)
    .bytes(claimField.hash, Buffer.from(claim.hash, 'hex'))
    .bytes(claimField.accuser, first === undefined ? undefined : Buffer.from(first, 'hex'))
    .bytes(claimField.moreAccusers, others.length === 0 ? undefined : Buffer.from(others.join(''), 'hex'))
    .uint(claimField.refused, claim.refused === 0 ? undefined : claim.refused)
}

/** Undefined where a later version names a state that is unknown here. @throws StarlingError WIRE_MALFORMED */
export function readClaim(field: Field): Claim | undefined {
  let shortId = ''
  let hash = ''
  let incarnation = 0
  let state = 0
  let first = ''
  let others = ''
  let refused = 0
  field.fields(maxClaimInputBytes, (part) => {
    if (part.number === claimField.shortId) shortId = part.hex(shortIdSizeBytes)
    else if (part.number === claimField.incarnation) incarnation = boundedIncarnation(part.uint())
    else if (part.number === claimField.state) state = part.uint()
    else if (part.number === claimField.hash) hash = part.hex(recordHashSizeBytes)
    else if (part.number === claimField.accuser) first = part.hex(shortIdSizeBytes)
    else if (part.number === claimField.moreAccusers) others = part.hex(shortIdSizeBytes, 2 * maxAccusers)
    else if (part.number === claimField.refused) refused = part.uint()
  })
  if (shortId === '' || hash === '') throw new StarlingError('WIRE_MALFORMED', 'a rumour lacks a field')
  if (stateOfCode(state) === undefined) return undefined
  const claim = { shortId, incarnation, state: state as StateCode, hash }
  const each = namesIn(first + others)
  if (each.length === 0) return claim
  return { ...claim, accusers: each, ...(refused === 0 ? {} : { refused: Math.min(refused, each.length) }) }
}

/** Those beyond the number that counts are left out. */
function namesIn(accusers: string): string[] {
  const digits = 2 * shortIdSizeBytes
  const names: string[] = []
  for (let at = 0; at < accusers.length && names.length < maxAccusers; at += digits)
    names.push(accusers.slice(at, at + digits))
  return names
}

function boundedIncarnation(value: number): number {
  if (value > maxIncarnation) throw new StarlingError('WIRE_MALFORMED', `an incarnation of ${value}`)
  return value
}
