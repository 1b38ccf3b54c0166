import { digestFromBytes, digestSizeBytes, digestToBytes } from '../core/digest.ts'
import { StarlingError } from '../core/errors.ts'
import { maxDatagramBodySizeBytes } from '../core/messaging.ts'
import { type PeerId, peerIdFromPublicKey, publicKeyFromPeerId, publicKeySizeBytes } from '../core/peer-id.ts'
import { type Field, FieldWriter, readVersioned } from '../core/wire.ts'
import type { FlightKey } from './flight-key.ts'

/** First byte of the messages of flights: their own version, apart from that of the membership's messages. */
export const flightsVersion = 0xf1

export type Role = 'lead' | 'follow'
/**
 * `done`: all of it is in the store; `gone`: given up; `wrong`: complete, but not the bytes of the digest; `stuck`: its parent has
 * more, and it does not take it.
 */
export type DownloadState = 'absent' | 'open' | 'done' | 'gone' | 'wrong' | 'stuck'

/** How far a download has come. */
export interface Progress {
  readonly state: DownloadState
  readonly offset: number
  /** Undefined where the size is not known. */
  readonly sizeBytes: number | undefined
}

export type FlightMessage =
  /** To a steward: from whom shall I get this? `slots`: the children that I would take. `lost`: not from these. */
  | ({
      readonly type: 'claim'
      readonly id: number
      readonly slots: number
      readonly lost: readonly PeerId[]
      /** Nodes that are known to have all of it. */
      readonly holders: readonly PeerId[]
    } & FlightKey &
      Pick<Progress, 'offset' | 'sizeBytes'>)
  /** The steward's answer: from upstream and for others, from `parent`, or from upstream and for nobody. */
  | {
      readonly type: 'verdict'
      readonly id: number
      readonly verdict: Role | 'none'
      readonly parent: PeerId | undefined
      /** How often the steward wants to hear how far it is. */
      readonly intervalMs: number
    }
  /** To a steward, now and then. */
  | ({
      readonly type: 'progress'
      readonly role: Role
      readonly parent: PeerId | undefined
      readonly slots: number
    } & FlightKey &
      Progress)
  /** To a parent: are you there? */
  | ({ readonly type: 'ask' } & FlightKey)
  /** The parent's answer; a leader's download grew `quietMs` ago. */
  | ({ readonly type: 'word'; readonly quietMs: number } & FlightKey & Progress)

/** Peers that a claim names as lost, and as holders, at most. */
export const maxNamedPeers = 6

const types = ['claim', 'verdict', 'progress', 'ask', 'word'] as const
const states = ['absent', 'open', 'done', 'gone', 'wrong', 'stuck'] as const
const roles = ['lead', 'follow', 'none'] as const
const maxRegistryLength = 255

const field = {
  type: 1,
  registry: 2,
  digest: 3,
  id: 4,
  slots: 5,
  offset: 6,
  size: 7,
  lost: 8,
  holder: 9,
  role: 10,
  parent: 11,
  interval: 12,
  state: 13,
  quiet: 14,
} as const

const code = <T>(list: readonly T[], value: T): number => list.indexOf(value) + 1

/** @throws StarlingError FRAME_TOO_LARGE where it does not fit a datagram */
export function encodeFlightMessage(message: FlightMessage): Uint8Array {
  const writer = new FieldWriter().uint(field.type, code(types, message.type))
  if (message.type !== 'verdict') {
    writer.string(field.registry, message.registry).bytes(field.digest, digestToBytes(message.digest))
  }
  if (message.type === 'claim' || message.type === 'verdict') writer.uint(field.id, message.id)
  if (message.type === 'claim' || message.type === 'progress') writer.uint(field.slots, message.slots)
  if ('offset' in message) writer.uint(field.offset, message.offset).uint(field.size, message.sizeBytes)
  if ('state' in message) writer.uint(field.state, code(states, message.state))
  if (message.type === 'claim') {
    for (const peer of message.lost.slice(0, maxNamedPeers))
      writer.bytes(field.lost, publicKeyFromPeerId(peer))
    for (const peer of message.holders.slice(0, maxNamedPeers))
      writer.bytes(field.holder, publicKeyFromPeerId(peer))
  }
  if (message.type === 'verdict' || message.type === 'progress') {
    const role = message.type === 'verdict' ? message.verdict : message.role
    writer.uint(field.role, code(roles, role))
    if (message.parent !== undefined) writer.bytes(field.parent, publicKeyFromPeerId(message.parent))
  }
  if (message.type === 'verdict') writer.uint(field.interval, message.intervalMs)
  if (message.type === 'word') writer.uint(field.quiet, Math.max(0, Math.round(message.quietMs)))
  const body = writer.finishVersioned(flightsVersion)
  if (body.length > maxDatagramBodySizeBytes)
    throw new StarlingError('FRAME_TOO_LARGE', `a message of a flight has ${body.length} bytes`)
  return body
}

/**
 * Undefined where the type, or a value of a closed set, is one that this version does not know.
 * @throws StarlingError WIRE_MALFORMED, FRAME_TOO_LARGE
 */
export function decodeFlightMessage(body: Uint8Array): FlightMessage | undefined {
  if (body.length > maxDatagramBodySizeBytes)
    throw new StarlingError('FRAME_TOO_LARGE', `a message of a flight has ${body.length} bytes`)
  const numbers = new Map<number, number>()
  const lost: PeerId[] = []
  const holders: PeerId[] = []
  let parent: PeerId | undefined
  let registry = ''
  let digest: FlightKey['digest'] | undefined
  readVersioned(
    body,
    (entry) => {
      if (entry.number === field.registry) registry = entry.string(maxRegistryLength)
      else if (entry.number === field.digest) digest = digestFromBytes(entry.fixedBytes(digestSizeBytes))
      else if (entry.number === field.lost) add(lost, entry)
      else if (entry.number === field.holder) add(holders, entry)
      else if (entry.number === field.parent) parent = peerOf(entry)
      else if (entry.number <= field.quiet) numbers.set(entry.number, entry.uint())
    },
    flightsVersion,
  )
  const number = (name: keyof typeof field): number => numbers.get(field[name]) ?? 0
  const type = types[number('type') - 1]
  const id = number('id')
  const role = roles[number('role') - 1]
  if (type === 'verdict') {
    if (role === undefined || (role === 'follow' && parent === undefined)) return undefined
    return { type, id, verdict: role, parent, intervalMs: number('interval') }
  }
  if (type === undefined) return undefined
  if (digest === undefined || registry === '')
    throw new StarlingError('WIRE_MALFORMED', 'a message of a flight names no blob')
  const key: FlightKey = { registry, digest }
  if (type === 'ask') return { type, ...key }
  const offset = number('offset')
  const slots = number('slots')
  const sizeBytes = numbers.get(field.size)
  if (type === 'claim') return { type, ...key, id, slots, offset, sizeBytes, lost, holders }
  const state = states[number('state') - 1]
  if (state === undefined) return undefined
  if (type === 'word') return { type, ...key, state, offset, sizeBytes, quietMs: number('quiet') }
  if (role === undefined || role === 'none') return undefined
  return { type, ...key, role, parent, slots, state, offset, sizeBytes }
}

function peerOf(entry: Field): PeerId {
  return peerIdFromPublicKey(entry.fixedBytes(publicKeySizeBytes))
}

function add(list: PeerId[], entry: Field): void {
  if (list.length < maxNamedPeers) list.push(peerOf(entry))
}
