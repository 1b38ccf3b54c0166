import { createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto'
import { StarlingError } from '../core/errors.ts'
import type { Endpoint, MemberRecord } from '../core/peer.ts'
import { peerIdFromPublicKey, publicKeyFromPeerId, publicKeySizeBytes, shortIdOf } from '../core/peer-id.ts'
import { FieldWriter, readFields, readVersioned } from '../core/wire.ts'
import { packAddress, unpackAddress } from './address.ts'

export const maxRecordSizeBytes = 600
/** Rumours name a record by so many first bytes of its SHA-256. */
export const recordHashSizeBytes = 16
const signatureSizeBytes = 64
const maxEndpoints = 16

/** A record with the bytes that its node signed, kept verbatim so that later fields survive being passed on. */
export interface SignedRecord {
  readonly record: MemberRecord
  readonly bytes: Uint8Array
  /** The first 16 bytes of the SHA-256 of `bytes`, hex. */
  readonly hash: string
  /** The short id of its PeerId, hex. */
  readonly shortId: string
}

/** Keeps the signature from standing for anything else. */
const context = Buffer.from('starling member record\0')

const field = { payload: 1, signature: 2 } as const
const payloadField = {
  publicKey: 1,
  sequence: 2,
  name: 3,
  endpoint: 4,
  registryPort: 5,
  zone: 6,
  role: 7,
  version: 8,
  registriesCount: 9,
  registriesHash: 10,
  certificateKeyHash: 11,
} as const
const endpointField = { address: 1, port: 2 } as const

/**
 * Encodes and signs what a node says of itself.
 * @throws StarlingError FRAME_TOO_LARGE where it has more than 600 bytes: the name or the zone is too long
 */
export function signRecord(record: MemberRecord, privateKey: KeyObject): SignedRecord {
  const payload = new FieldWriter()
    .bytes(payloadField.publicKey, publicKeyFromPeerId(record.peerId))
    .uint(payloadField.sequence, record.sequence)
    .string(payloadField.name, record.name)
    .messages(payloadField.endpoint, record.p2p, writeEndpoint)
    .uint(payloadField.registryPort, record.registryPort)
    .string(payloadField.zone, record.zone)
    .string(payloadField.role, record.role)
    .string(payloadField.version, record.version)
    .uint(payloadField.registriesCount, record.registriesCount)
    .bytes(payloadField.registriesHash, record.registriesHash)
    .bytes(payloadField.certificateKeyHash, record.certificateKeyHash)
    .finish()
  const bytes = new FieldWriter()
    .bytes(field.payload, payload)
    .bytes(field.signature, sign(null, Buffer.concat([context, payload]), privateKey))
    .finishVersioned()
  if (bytes.length > maxRecordSizeBytes) {
    throw new StarlingError(
      'FRAME_TOO_LARGE',
      `the member record has ${bytes.length} bytes, at most ${maxRecordSizeBytes} are possible`,
      { hint: 'use a shorter node name or zone, or fewer advertised addresses' },
    )
  }
  return { record, bytes, ...namesOf(bytes, record) }
}

/**
 * Decodes a record and checks its signature against the PeerId in it. Unknown fields are skipped.
 * @throws StarlingError WIRE_MALFORMED, FRAME_TOO_LARGE
 */
export function readRecord(bytes: Uint8Array): SignedRecord {
  if (bytes.length > maxRecordSizeBytes)
    throw new StarlingError('FRAME_TOO_LARGE', `a member record has ${bytes.length} bytes`)
  let payload: Uint8Array | undefined
  let signature: Uint8Array | undefined
  readVersioned(bytes, (part) => {
    if (part.number === field.payload) payload = part.bytes(maxRecordSizeBytes)
    else if (part.number === field.signature) signature = part.fixedBytes(signatureSizeBytes)
  })
  if (payload === undefined || signature === undefined) throw malformed('a member record lacks a part')
  const { record, publicKey } = readPayload(payload)
  if (!verify(null, Buffer.concat([context, payload]), publicKeyObject(publicKey), signature))
    throw malformed(`the signature of the member record of ${record.peerId} is wrong`)
  const kept = Uint8Array.from(bytes)
  return { record, bytes: kept, ...namesOf(kept, record) }
}

/** SHA-256 over the sorted names, joined by line feeds; 32 bytes. */
export function hashRegistries(registries: readonly string[]): Uint8Array {
  return Uint8Array.from(hash('sha256', [...registries].sort().join('\n'), 'buffer'))
}

/** SubjectPublicKeyInfo of Ed25519 (RFC 8410 §4) up to the 32 bytes of the key. */
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex')

function publicKeyObject(publicKey: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([spkiPrefix, publicKey]), format: 'der', type: 'spki' })
}

function namesOf(bytes: Uint8Array, record: MemberRecord): { hash: string; shortId: string } {
  return {
    hash: hash('sha256', bytes, 'hex').slice(0, 2 * recordHashSizeBytes),
    shortId: shortIdOf(publicKeyFromPeerId(record.peerId)),
  }
}

function writeEndpoint(writer: FieldWriter, endpoint: Endpoint): void {
  writer.bytes(endpointField.address, packAddress(endpoint.host)).uint(endpointField.port, endpoint.port)
}

function readEndpoint(bytes: Uint8Array): Endpoint {
  let host: string | undefined
  let port = 0
  readFields(bytes, (part) => {
    if (part.number === endpointField.address) host = unpackAddress(part.bytes(16))
    else if (part.number === endpointField.port) port = portOf(part.uint())
  })
  if (host === undefined || port === 0) throw malformed('a member record has an unusable address')
  return { host, port }
}

function readPayload(payload: Uint8Array): { record: MemberRecord; publicKey: Uint8Array } {
  let publicKey: Uint8Array | undefined
  let registriesHash: Uint8Array | undefined
  let certificateKeyHash: Uint8Array | undefined
  const p2p: Endpoint[] = []
  const numbers = { sequence: 0, registryPort: 0, registriesCount: 0 }
  const texts = { name: '', zone: '', role: '', version: '' }
  readFields(payload, (part) => {
    const { number } = part
    if (number === payloadField.publicKey) publicKey = part.fixedBytes(publicKeySizeBytes)
    else if (number === payloadField.sequence) numbers.sequence = part.uint()
    else if (number === payloadField.name) texts.name = part.string(255)
    else if (number === payloadField.endpoint) p2p.push(readEndpoint(part.bytes(64)))
    else if (number === payloadField.registryPort) numbers.registryPort = portOf(part.uint())
    else if (number === payloadField.zone) texts.zone = part.string(255)
    else if (number === payloadField.role) texts.role = part.string(32)
    else if (number === payloadField.version) texts.version = part.string(64)
    else if (number === payloadField.registriesCount) numbers.registriesCount = part.uint()
    else if (number === payloadField.registriesHash) registriesHash = Uint8Array.from(part.fixedBytes(32))
    else if (number === payloadField.certificateKeyHash)
      certificateKeyHash = Uint8Array.from(part.fixedBytes(32))
  })
  if (publicKey === undefined || registriesHash === undefined || certificateKeyHash === undefined)
    throw malformed('a member record lacks a field')
  if (p2p.length === 0 || p2p.length > maxEndpoints)
    throw malformed(`a member record has ${p2p.length} addresses`)
  const peerId = peerIdFromPublicKey(publicKey)
  return { publicKey, record: { peerId, ...numbers, ...texts, p2p, registriesHash, certificateKeyHash } }
}

function portOf(value: number): number {
  if (value > 65_535) throw malformed(`there is no port ${value}`)
  return value
}

function malformed(why: string): StarlingError {
  return new StarlingError('WIRE_MALFORMED', why)
}
