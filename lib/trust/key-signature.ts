import { constants, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'

/** DER of a SubjectPublicKeyInfo for Ed25519 up to the 32 bytes of the key (RFC 8410 §4). */
const ed25519SpkiPrefix = Buffer.from('302a300506032b6570032100', 'hex')

export const ed25519SignatureSizeBytes = 64

/** @throws Error unless `raw` is a valid Ed25519 public key of 32 bytes */
export function ed25519PublicKey(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([ed25519SpkiPrefix, raw]), format: 'der', type: 'spki' })
}

/** The raw 32 bytes of an Ed25519 public key. */
export function ed25519PublicKeyBytes(key: KeyObject): Uint8Array {
  return key.export({ format: 'der', type: 'spki' }).subarray(ed25519SpkiPrefix.length)
}

/**
 * Signs with the key of a certificate, whatever its type: ECDSA with SHA-256 (DER), RSASSA-PSS with SHA-256 and a
 * salt of 32 bytes (RFC 8017 §8.1), or EdDSA. Synchronous, so that libuv's thread pool is not involved.
 */
export function signWithKey(key: KeyObject, message: Uint8Array): Uint8Array {
  return sign(hashFor(key), message, { key, ...paddingFor(key) })
}

/** The counterpart of `signWithKey`; false too where the signature is not even well-formed. */
export function verifyWithKey(key: KeyObject, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    return verify(hashFor(key), message, { key, ...paddingFor(key) }, signature)
  } catch {
    return false
  }
}

/** Why a certificate's key cannot be used, or undefined. The bounds are those of TLS at OpenSSL's security level 2. */
export function weaknessOf(publicKey: KeyObject): string | undefined {
  const type = publicKey.asymmetricKeyType
  const bits = publicKey.asymmetricKeyDetails?.modulusLength
  if (type === 'rsa' || type === 'rsa-pss') {
    if (bits === undefined || bits < 2048) return `an RSA key of ${bits ?? 0} bits is too short`
    return bits > 8192 ? `an RSA key of ${bits} bits is longer than 8192` : undefined
  }
  if (type === 'ec') {
    const curve = publicKey.asymmetricKeyDetails?.namedCurve ?? 'unknown'
    return ['prime256v1', 'secp384r1', 'secp521r1'].includes(curve)
      ? undefined
      : `the curve ${curve} is not one of P-256, P-384 and P-521`
  }
  return type === 'ed25519' ? undefined : `keys of type ${type} are not supported`
}

function hashFor(key: KeyObject): string | null {
  return key.asymmetricKeyType === 'ed25519' ? null : 'sha256'
}

function paddingFor(key: KeyObject): { padding?: number; saltLength?: number } {
  const type = key.asymmetricKeyType
  return type === 'rsa' || type === 'rsa-pss'
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
    : {}
}
