import { createPrivateKey, sign, verify } from 'node:crypto'
import type { KeyPair, Revocation } from '../core/credentials.ts'
import { StarlingError } from '../core/errors.ts'
import { type PeerId, publicKeyFromPeerId } from '../core/peer-id.ts'
import { readCertificates } from './certificate-chain.ts'

/** A longer list is refused; nobody revokes so many nodes. */
const maxRevocations = 2_000
export const maxRevocationListSizeBytes = 2 ** 20
const context = 'starling revocation 1\n'

/** Certificates that we issue begin to be valid this long before they are made, for clocks that are behind. */
export const backdateMs = 300_000

/** A revocation that whoever passes it on can't change. */
export interface SignedRevocation extends Revocation {
  /** Of the server CA, base64. */
  readonly signature: string
}

/** @throws StarlingError TRUST_FILE_INVALID where the CA's key cannot sign */
export function signRevocation(revocation: Revocation, serverCa: KeyPair): SignedRevocation {
  const { name, peerId, revokedMs } = revocation
  const signature = sign('sha256', signedBytes(revocation), createPrivateKey(serverCa.keyPem))
  return { name, peerId, revokedMs, signature: signature.toString('base64') }
}

export function isSigned(revocation: Revocation): revocation is SignedRevocation {
  return revocation.signature !== undefined
}

function signedBytes({ name, peerId, revokedMs }: Revocation): Buffer {
  return Buffer.from(`${context}${JSON.stringify([name, peerId, revokedMs])}`)
}

/** The text of a list, the same for the same entries. */
export function formatRevocations(revocations: readonly SignedRevocation[]): string {
  const sorted = [...revocations].sort((a, b) => (a.peerId < b.peerId ? -1 : 1))
  return `${JSON.stringify({ format: 1, revocations: sorted }, null, 1)}\n`
}

/**
 * Reads a list and checks each entry.
 * @param serverCaPem the roots of the cluster; any of them may have signed
 * @param file for the error
 * @throws StarlingError TRUST_FILE_INVALID
 */
export function readRevocations(
  text: string,
  serverCaPem: string,
  file: string,
): readonly SignedRevocation[] {
  const invalid = (message: string, cause?: unknown) =>
    new StarlingError('TRUST_FILE_INVALID', `the list of revoked nodes ${message}`, {
      hint: 'take it from a server or another node; without the file nobody is revoked here',
      position: { file },
      cause,
    })
  let entries: unknown
  try {
    const document = JSON.parse(text) as { format?: unknown; revocations?: unknown }
    if (document.format !== 1) throw new Error(`its format is ${String(document.format)}, not 1`)
    entries = document.revocations
  } catch (error) {
    throw invalid('is not what a server wrote', error)
  }
  if (!Array.isArray(entries) || entries.length > maxRevocations || !entries.every(isEntry)) {
    throw invalid('has entries that make no sense')
  }
  const roots = readCertificates(serverCaPem).map(({ publicKey }) => publicKey)
  for (const entry of entries) {
    const signature = Buffer.from(entry.signature, 'base64')
    if (roots.some((root) => verify('sha256', signedBytes(entry), root, signature))) continue
    throw invalid(`has an entry for ${JSON.stringify(entry.name)} that the server CA has not signed`)
  }
  return entries
}

/** Both lists; of two entries for a node that of `a`. */
export function mergeRevocations<T extends Revocation>(a: readonly T[], b: readonly T[]): readonly T[] {
  const known = new Set(a.map(({ peerId }) => peerId))
  return [...a, ...b.filter(({ peerId }) => !known.has(peerId))]
}

function isEntry(value: unknown): value is SignedRevocation {
  const { name, peerId, revokedMs, signature } = (value ?? {}) as Partial<SignedRevocation>
  return (
    typeof name === 'string' &&
    name.length <= 255 &&
    typeof signature === 'string' &&
    signature.length <= 1024 &&
    Number.isSafeInteger(revokedMs) &&
    isPeerId(peerId)
  )
}

function isPeerId(value: unknown): value is PeerId {
  try {
    return typeof value === 'string' && publicKeyFromPeerId(value as PeerId).length > 0
  } catch {
    return false
  }
}

/**
 * Is a client certificate one of a node that was revoked? A machine that joined later with the same name has a newer one.
 * @param notBeforeMs its beginning, milliseconds since 1970
 */
export function isRevokedClient(
  revocations: readonly Revocation[],
  name: string | undefined,
  notBeforeMs: number,
): boolean {
  return revocations.some((entry) => entry.name === name && notBeforeMs + backdateMs <= entry.revokedMs)
}
