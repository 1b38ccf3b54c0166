import { hash, hkdfSync } from 'node:crypto'
import type { Keyring, Psk } from '../core/credentials.ts'
import { StarlingError } from '../core/errors.ts'

export const minPskSizeBytes = 32
export const keyIdSizeBytes = 4
const maxPskSizeBytes = 256
const maxKeys = 16

/** What a key derived from a PSK is for: no two uses share one. */
export type KeyPurpose = 'datagram' | 'libp2p-preamble' | 'libp2p-stream'

/** A PSK with its id. @throws StarlingError TRUST_FILE_INVALID under 32 bytes */
export function makePsk(key: Uint8Array): Psk {
  if (key.length < minPskSizeBytes)
    throw refuse(`the PSK has ${key.length} bytes, not at least ${minPskSizeBytes}`)
  return { id: hash('sha256', key, 'hex').slice(0, 2 * keyIdSizeBytes), key: Uint8Array.from(key) }
}

/**
 * Reads the text of a PSK file: one key a line, 64 or more hexadecimal digits or base64; the first is used to send,
 * all are accepted. Empty lines and what follows a `#` are skipped.
 * @param file path for error messages
 * @throws StarlingError TRUST_FILE_INVALID with the line; the message never shows the key
 */
export function parseKeyring(text: string, file: string): Keyring {
  const keys: Psk[] = []
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\r|\n/)
  for (const [index, whole] of lines.entries()) {
    const written = whole.replace(/#.*$/, '').trim()
    if (written === '') continue
    const at = { file, line: index + 1 }
    const bytes = decodeKey(written, at)
    if (bytes.length < minPskSizeBytes) {
      throw refuse(`the PSK has ${bytes.length} bytes, not at least ${minPskSizeBytes}`, at)
    }
    if (bytes.length > maxPskSizeBytes) throw refuse(`the PSK is longer than ${maxPskSizeBytes} bytes`, at)
    const psk = makePsk(bytes)
    if (keys.some((other) => other.id === psk.id)) throw refuse('the PSK has the id of an earlier line', at)
    if (keys.length === maxKeys) throw refuse(`there are more than ${maxKeys} PSKs`, at)
    keys.push(psk)
  }
  const [primary, ...older] = keys
  if (primary === undefined) throw refuse('the file holds no PSK', { file })
  return [primary, ...older]
}

/** The text of a PSK file that `parseKeyring` reads back. */
export function formatKeyring(keyring: Keyring): string {
  return keyring.map((psk) => `${Buffer.from(psk.key).toString('hex')}\n`).join('')
}

export function findKey(keyring: Keyring, id: string): Psk | undefined {
  return keyring.find((psk) => psk.id === id)
}

/** HKDF-SHA256 (RFC 5869) of a PSK for one purpose; `salt` and `context` separate the keys of one purpose. */
export function deriveKey(
  psk: Psk,
  purpose: KeyPurpose,
  { salt, context, sizeBytes }: { salt: Uint8Array; context: Uint8Array; sizeBytes: number },
): Buffer {
  const info = Buffer.concat([Buffer.from(`starling/1/${purpose}\0`), context])
  return Buffer.from(hkdfSync('sha256', psk.key, salt, info, sizeBytes))
}

function decodeKey(written: string, at: { file: string; line: number }): Uint8Array {
  if (/^[0-9a-fA-F]+$/.test(written)) {
    if (written.length % 2 === 1) throw refuse('the PSK has an odd number of hexadecimal digits', at)
    return Buffer.from(written, 'hex')
  }
  const digits = written.replace(/={0,2}$/, '')
  if (!/^[A-Za-z0-9+/_-]+$/.test(digits) || digits.length % 4 === 1) {
    throw refuse('the line is neither hexadecimal digits nor base64', at)
  }
  return Buffer.from(digits, 'base64')
}

function refuse(message: string, position?: { file: string; line?: number }): StarlingError {
  const hint = 'make a key with: openssl rand -hex 32'
  return new StarlingError('TRUST_FILE_INVALID', message, { hint, position })
}
