import type { Psk } from '../core/credentials.ts'
import { maxDatagramSizeBytes } from '../core/messaging.ts'
import { publicKeySizeBytes } from '../core/peer-id.ts'
import { ed25519SignatureSizeBytes } from './key-signature.ts'
import { deriveKey, keyIdSizeBytes } from './keyring.ts'

/**
 * A datagram (DESIGN §4): header | AES-256-GCM of (signature | body) | tag. The header, authenticated but in the clear:
 * version (1), key id (4), sender's public key (32), boot salt (16), counter (8, big-endian).
 */
export const datagramVersion = 1
export const bootSaltSizeBytes = 16
export const tagSizeBytes = 16

const counterSizeBytes = 8
const keyIdAt = 1
const publicKeyAt = keyIdAt + keyIdSizeBytes
const saltAt = publicKeyAt + publicKeySizeBytes
const counterAt = saltAt + bootSaltSizeBytes
export const headerSizeBytes = counterAt + counterSizeBytes

export const minDatagramSizeBytes = headerSizeBytes + ed25519SignatureSizeBytes + tagSizeBytes
/** What fits beside header, signature and tag; core promises a little less. */
export const maxBodySizeBytes = maxDatagramSizeBytes - minDatagramSizeBytes

export interface DatagramHeader {
  readonly keyId: number
  readonly publicKey: Uint8Array
  readonly salt: Uint8Array
  readonly counter: number
}

const signatureContext = Buffer.from('starling/1/datagram\0')
const noncePrefix = Buffer.alloc(12 - counterSizeBytes)

export function writeHeader(header: DatagramHeader): Buffer {
  const bytes = Buffer.allocUnsafe(headerSizeBytes)
  bytes[0] = datagramVersion
  bytes.writeUInt32BE(header.keyId, keyIdAt)
  bytes.set(header.publicKey, publicKeyAt)
  bytes.set(header.salt, saltAt)
  bytes.writeUInt32BE(Math.floor(header.counter / 2 ** 32), counterAt)
  bytes.writeUInt32BE(header.counter % 2 ** 32, counterAt + 4)
  return bytes
}

/** The header of at least `minDatagramSizeBytes` bytes; key and salt are views. */
export function readHeader(datagram: Buffer): DatagramHeader {
  return {
    keyId: datagram.readUInt32BE(keyIdAt),
    publicKey: datagram.subarray(publicKeyAt, saltAt),
    salt: datagram.subarray(saltAt, counterAt),
    counter: datagram.readUInt32BE(counterAt) * 2 ** 32 + datagram.readUInt32BE(counterAt + 4),
  }
}

/** The nonce of a datagram is its counter: a key serves one sender and boot only. */
export function nonceOf(header: Uint8Array): Uint8Array {
  return Buffer.concat([noncePrefix, header.subarray(counterAt, headerSizeBytes)])
}

export function signedText(header: Uint8Array, body: Uint8Array): Uint8Array {
  return Buffer.concat([signatureContext, header, body])
}

/** The AES-256 key of one sender and boot under one PSK. */
export function datagramKey(psk: Psk, publicKey: Uint8Array, salt: Uint8Array): Buffer {
  return deriveKey(psk, 'datagram', { salt, context: publicKey, sizeBytes: 32 })
}

export function keyIdOf(psk: Psk): number {
  return Number.parseInt(psk.id, 16)
}
