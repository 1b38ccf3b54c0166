import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { FieldWriter as Fields, type FieldWriter, readFields } from '../core/wire.ts'
import { maxInventoryElements } from './elements.ts'
import { hashSizeBytes } from './set-hash.ts'

/** What an origin says of its inventory of one registry at one point: whoever relays it can't change it. */
export interface UnsignedCheckpoint {
  /** Grows with every start of the origin. */
  readonly epoch: number
  /** Counts from 1 within an epoch. */
  readonly sequence: number
  readonly setHash: Uint8Array
  /** Elements in the inventory. */
  readonly count: number
}

export interface Checkpoint extends UnsignedCheckpoint {
  /** Ed25519, by the identity of the origin. */
  readonly signature: Uint8Array
}

const context = Buffer.from('starling checkpoint 1\n')
const signatureSizeBytes = 64

function signedBytes(registry: string, checkpoint: UnsignedCheckpoint): Uint8Array {
  const fields = new Fields()
    .string(1, registry)
    .uint(2, checkpoint.epoch)
    .uint(3, checkpoint.sequence)
    .bytes(4, checkpoint.setHash)
    .uint(5, checkpoint.count)
  return Buffer.concat([context, fields.finish()])
}

export function signCheckpoint(
  registry: string,
  checkpoint: UnsignedCheckpoint,
  privateKey: KeyObject,
): Checkpoint {
  return { ...checkpoint, signature: sign(null, signedBytes(registry, checkpoint), privateKey) }
}

export function verifyCheckpoint(registry: string, checkpoint: Checkpoint, publicKey: KeyObject): boolean {
  return verify(null, signedBytes(registry, checkpoint), publicKey, checkpoint.signature)
}

/** The key object of a raw Ed25519 public key of 32 bytes (RFC 8037 §2). */
export function publicKeyObject(publicKey: Uint8Array): KeyObject {
  const x = Buffer.from(publicKey).toString('base64url')
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
}

/** Negative, zero or positive as `a` is older than, as old as or newer than `b`. */
export function compareAge(
  a: { readonly epoch: number; readonly sequence: number },
  b: { readonly epoch: number; readonly sequence: number },
): number {
  return a.epoch - b.epoch || a.sequence - b.sequence
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index])
}

export function writeCheckpoint(writer: FieldWriter, checkpoint: Checkpoint): void {
  writer
    .uint(1, checkpoint.epoch)
    .uint(2, checkpoint.sequence)
    .bytes(3, checkpoint.setHash)
    .uint(4, checkpoint.count)
    .bytes(5, checkpoint.signature)
}

/** Undefined where a part is absent or out of range. @throws StarlingError WIRE_MALFORMED */
export function readCheckpoint(bytes: Uint8Array): Checkpoint | undefined {
  let epoch = 0
  let sequence = 0
  let setHash: Uint8Array | undefined
  let count: number | undefined
  let signature: Uint8Array | undefined
  readFields(bytes, (field) => {
    if (field.number === 1) epoch = field.uint()
    else if (field.number === 2) sequence = field.uint()
    else if (field.number === 3) setHash = field.fixedBytes(hashSizeBytes).slice()
    else if (field.number === 4) count = field.uint()
    else if (field.number === 5) signature = field.fixedBytes(signatureSizeBytes).slice()
  })
  if (epoch < 1 || sequence < 1 || setHash === undefined || signature === undefined) return undefined
  if (count === undefined || count > maxInventoryElements) return undefined
  return { epoch, sequence, setHash, count, signature }
}
