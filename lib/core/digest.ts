import { StarlingError } from './errors.ts'

/** `sha256:` and 64 lower-case hexadecimal digits (OCI image specification, "Digests"). The only algorithm we serve. */
export type Digest = string & { readonly __brand: 'Digest' }

/** Size of the binary form of a digest. */
export const digestSizeBytes = 32

const pattern = /^sha256:[0-9a-f]{64}$/

export function isDigest(text: string): text is Digest {
  return text.length === 71 && pattern.test(text)
}

/** @throws StarlingError DIGEST_INVALID */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text
  const shown = JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text)
  throw new StarlingError('DIGEST_INVALID', `${shown} is not a digest`, {
    hint: 'expected sha256: and 64 lower-case hexadecimal digits',
  })
}

/** The 64 hexadecimal digits, safe to use as a file name. */
export function digestHex(digest: Digest): string {
  return digest.slice(7)
}

/** The 32 bytes of a digest. */
export function digestToBytes(digest: Digest): Uint8Array {
  return Buffer.from(digest.slice(7), 'hex')
}

/** @throws StarlingError DIGEST_INVALID unless there are exactly 32 bytes */
export function digestFromBytes(bytes: Uint8Array): Digest {
  if (bytes.length !== digestSizeBytes) {
    throw new StarlingError('DIGEST_INVALID', `a digest has ${digestSizeBytes} bytes, not ${bytes.length}`)
  }
  return `sha256:${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}` as Digest
}
