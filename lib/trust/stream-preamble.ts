import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Keyring, Psk } from '../core/credentials.ts'
import { deriveKey } from './keyring.ts'

export const preambleSaltSizeBytes = 16
const macSizeBytes = 16
/** Size of either preamble: version byte, salt, truncated HMAC-SHA256. */
export const preambleSizeBytes = 1 + preambleSaltSizeBytes + macSizeBytes

const version = 1
const nothing = new Uint8Array(0)

/** Key (32 bytes) and initial counter block (16 bytes) of AES-256-CTR for one direction. */
export interface StreamKey {
  readonly key: Uint8Array
  readonly iv: Uint8Array
}

/** The keys of a stream, fresh for each pair of salts. */
export interface StreamKeys {
  readonly dialerToListener: StreamKey
  readonly listenerToDialer: StreamKey
}

/** The dialler's first bytes. They say which PSK is meant to those who know it, and nothing to others. */
export function makeDialerPreamble(psk: Psk, salt: Uint8Array): Uint8Array {
  return preamble(psk, 'dialer', salt, nothing)
}

/**
 * Finds the key of the ring that the dialler means. Each is compared in constant time; undefined where none fits, the
 * version is another or the size is wrong.
 */
export function readDialerPreamble(
  keyring: Keyring,
  bytes: Uint8Array,
): { psk: Psk; salt: Uint8Array } | undefined {
  if (bytes.length !== preambleSizeBytes || bytes[0] !== version) return undefined
  const salt = Uint8Array.from(bytes.subarray(1, 1 + preambleSaltSizeBytes))
  let found: Psk | undefined
  for (const psk of keyring) {
    if (timingSafeEqual(preamble(psk, 'dialer', salt, nothing), bytes)) found ??= psk
  }
  return found === undefined ? undefined : { psk: found, salt }
}

/** The listener's answer with the same PSK: covers both salts, so that an old one cannot be played back. */
export function makeListenerPreamble(psk: Psk, dialerSalt: Uint8Array, salt: Uint8Array): Uint8Array {
  return preamble(psk, 'listener', salt, dialerSalt)
}

/** The listener's salt; undefined where the listener has not proved that it knows the PSK. */
export function readListenerPreamble(
  psk: Psk,
  dialerSalt: Uint8Array,
  bytes: Uint8Array,
): Uint8Array | undefined {
  if (bytes.length !== preambleSizeBytes || bytes[0] !== version) return undefined
  const salt = Uint8Array.from(bytes.subarray(1, 1 + preambleSaltSizeBytes))
  return timingSafeEqual(preamble(psk, 'listener', salt, dialerSalt), bytes) ? salt : undefined
}

/** Keys for both directions. CTR hides only; what is inside is authenticated by libp2p's TLS. */
export function deriveStreamKeys(psk: Psk, dialerSalt: Uint8Array, listenerSalt: Uint8Array): StreamKeys {
  const salt = Buffer.concat([dialerSalt, listenerSalt])
  const derive = (direction: string): StreamKey => {
    const bytes = deriveKey(psk, 'libp2p-stream', { salt, context: Buffer.from(direction), sizeBytes: 48 })
    return { key: bytes.subarray(0, 32), iv: bytes.subarray(32) }
  }
  return { dialerToListener: derive('dialer'), listenerToDialer: derive('listener') }
}

function preamble(psk: Psk, role: string, salt: Uint8Array, otherSalt: Uint8Array): Uint8Array {
  if (salt.length !== preambleSaltSizeBytes) throw new RangeError(`a salt has ${preambleSaltSizeBytes} bytes`)
  const key = deriveKey(psk, 'libp2p-preamble', { salt: nothing, context: Buffer.from(role), sizeBytes: 32 })
  const mac = createHmac('sha256', key).update(Uint8Array.of(version)).update(salt).update(otherSalt).digest()
  return Buffer.concat([Uint8Array.of(version), salt, mac.subarray(0, macSizeBytes)])
}
