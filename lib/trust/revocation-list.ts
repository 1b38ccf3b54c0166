import { createPrivateKey, sign, verify } from 'node:crypto'
import type { KeyPair, Revocation } from '../core/credentials.ts'
import { StarlingError } from '../core/errors.ts'
import { type PeerId, publicKeyFromPeerId } from '../core/peer-id.ts'
import { readCertificates } from './certificate-chain.ts'

/** A longer list is refused; nobody revokes so many nodes. */
const maxRevocations = 10_000
const context = 'starling revocations 1\n'

/** Certificates that we issue begin to be valid this long before they are made, for clocks that are behind. */
export const backdateMs = 300_000

/**
 * The text of a list of revoked nodes, signed by the server CA: whoever passes it on can't change it.
 * @throws StarlingError TRUST_FILE_INVALID where the CA's key cannot sign
 */
export function signRevocations(revocations: readonly Revocation[], serverCa: KeyPair): string {
  const sorted = [...revocations].sort((a, b) => (a.peerId < b.peerId ? -1 : 1))
  const list = JSON.stringify(sorted.map(({ name, peerId, revokedMs }) => ({ name, peerId, revokedMs })))
  const signature = sign('sha256', Buffer.from(context + list), createPrivateKey(serverCa.keyPem))
  return `${JSON.stringify({ format: 1, list, signature: signature.toString('base64') }, null, 1)}\n`
}

/**
 * Reads and checks a list.
 * @param serverCaPem the roots of the cluster; any of them may have signed
 * @param file for the error
 * @throws StarlingError TRUST_FILE_INVALID
 */
export function readRevocations(text: string, serverCaPem: string, file: string): readonly Revocation[] {
  const invalid = (message: string, cause?: unknown) =>
    new StarlingError('TRUST_FILE_INVALID', `the list of revoked nodes ${message}`, {
      hint: 'take it from a server again; without the file nobody is revoked',
      position: { file },
      cause,
    })
  let list: string
  let signature: Buffer
  try {
    const document = JSON.parse(text) as { format?: unknown; list?: unknown; signature?: unknown }
    if (document.format !== 1) throw new Error(`its format is ${String(document.format)}, not 1`)
    list = String(document.list)
    signature = Buffer.from(String(document.signature), 'base64')
  } catch (error) {
    throw invalid('is not what a server wrote', error)
  }
  const signed = Buffer.from(context + list)
  if (
    !readCertificates(serverCaPem).some(({ publicKey }) => verify('sha256', signed, publicKey, signature))
  ) {
    throw invalid('is not signed by the server CA')
  }
  const entries = JSON.parse(list) as unknown
  if (!Array.isArray(entries) || entries.length > maxRevocations || !entries.every(isRevocation)) {
    throw invalid('has entries that make no sense')
  }
  return entries
}

function isRevocation(value: unknown): value is Revocation {
  const { name, peerId, revokedMs } = (value ?? {}) as Partial<Revocation>
  return typeof name === 'string' && Number.isSafeInteger(revokedMs) && isPeerId(peerId)
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
