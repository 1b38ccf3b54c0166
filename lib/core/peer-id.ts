import { hash } from 'node:crypto'
import { base58btc } from 'multiformats/bases/base58'
import { StarlingError } from './errors.ts'

/**
 * A libp2p PeerId of an Ed25519 identity in its base58btc form, `12D3KooW…` (libp2p peer-ids specification).
 * The public key can be read from it, so 32 bytes name a node on the wire.
 */
export type PeerId = string & { readonly __brand: 'PeerId' }

export const publicKeySizeBytes = 32
export const shortIdSizeBytes = 8

/** Identity multihash of 36 bytes, then the protobuf `PublicKey {type: Ed25519, data: 32 bytes}`. */
const prefix = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20)

/** @throws StarlingError WIRE_MALFORMED unless there are exactly 32 bytes */
export function peerIdFromPublicKey(publicKey: Uint8Array): PeerId {
  if (publicKey.length !== publicKeySizeBytes) {
    throw new StarlingError('WIRE_MALFORMED', `an Ed25519 public key has 32 bytes, not ${publicKey.length}`)
  }
  return base58btc.baseEncode(Buffer.concat([prefix, publicKey])) as PeerId
}

/** @throws StarlingError WIRE_MALFORMED where the text is not the PeerId of an Ed25519 identity */
export function publicKeyFromPeerId(peerId: string): Uint8Array {
  let bytes: Uint8Array | undefined
  try {
    bytes = peerId.length > 100 ? undefined : base58btc.baseDecode(peerId)
  } catch {
    bytes = undefined
  }
  if (bytes?.length !== 38 || !prefix.every((byte, index) => bytes[index] === byte)) {
    const shown = JSON.stringify(peerId.slice(0, 100))
    throw new StarlingError('WIRE_MALFORMED', `${shown} is not the PeerId of an Ed25519 identity`)
  }
  return bytes.subarray(prefix.length)
}

/** The first 8 bytes of the SHA-256 of the public key, as hex: names a node in compact rumours. */
export function shortIdOf(publicKey: Uint8Array): string {
  return hash('sha256', publicKey, 'hex').slice(0, 2 * shortIdSizeBytes)
}
