import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto'
import { StarlingError } from '../core/errors.ts'

export const sealSaltSizeBytes = 32
export const sealNonceSizeBytes = 12
const tagSizeBytes = 16
const info = 'starling/1/server-join'

/**
 * Seals what a further server receives: AES-256-GCM under HKDF-SHA256 (RFC 5869) of its token, which has 128 bits of
 * chance or more. So even who breaks or ends the TLS between them learns no key of the CA.
 * @param salt 32 random bytes, @param nonce 12 random bytes; fresh ones each time
 */
export function sealForToken(
  secret: string,
  plain: Uint8Array,
  { salt, nonce }: { salt: Uint8Array; nonce: Uint8Array },
): Uint8Array {
  const cipher = createCipheriv('aes-256-gcm', keyOf(secret, salt), nonce)
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

/** @throws StarlingError JOIN_REFUSED where it was sealed for another token or has changed */
export function openWithToken(
  secret: string,
  sealed: Uint8Array,
  { salt, nonce }: { salt: Uint8Array; nonce: Uint8Array },
): Uint8Array {
  try {
    const decipher = createDecipheriv('aes-256-gcm', keyOf(secret, salt), nonce)
    decipher.setAuthTag(sealed.subarray(-tagSizeBytes))
    return Buffer.concat([decipher.update(sealed.subarray(0, -tagSizeBytes)), decipher.final()])
  } catch (cause) {
    throw new StarlingError('JOIN_REFUSED', 'what the server sent does not open with this token', { cause })
  }
}

function keyOf(secret: string, salt: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, salt, info, 32))
}
