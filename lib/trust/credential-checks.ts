import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto'
import type { KeyPair } from '../core/credentials.ts'
import { StarlingError } from '../core/errors.ts'
import type { PeerId } from '../core/peer-id.ts'
import { peerIdsNamedBy } from './attestation.ts'
import {
  type ChainFault,
  clientAuthUsage,
  findChainFault,
  isSelfSigned,
  maxChainCertificates,
  readCertificates,
  serverAuthUsage,
  subjectOf,
} from './certificate-chain.ts'
import { type Identity, readIdentity } from './identity.ts'

/** The text of a file with its path for error messages. */
export interface TrustText {
  readonly file: string
  readonly text: string
}

/**
 * The certificates of a CA file.
 * @throws StarlingError TRUST_FILE_INVALID where there is none, one is no CA, or no self-signed root is among them
 */
export function checkCaBundle({ file, text }: TrustText): readonly X509Certificate[] {
  const certificates = certificatesOf({ file, text })
  const notCa = certificates.find((certificate) => !certificate.ca)
  if (notCa !== undefined) {
    const hint = 'leave only CA certificates in this file'
    throw invalid(file, `the certificate ${nameOf(notCa)} is not one of a CA`, hint)
  }
  if (!certificates.some(isSelfSigned)) {
    const hint = 'add the root of the chain to this file'
    throw invalid(file, 'the file holds intermediate certificates only, no self-signed root', hint)
  }
  return certificates
}

export interface KeyPairTexts {
  readonly kind: 'serving' | 'client'
  readonly cert: TrustText
  readonly key: TrustText
  readonly ca: TrustText
}

/**
 * Checks that a certificate belongs to its key, leads to its CA, is valid at `nowMs` and may be used as its kind says.
 * @returns the certificate
 * @throws StarlingError TRUST_FILE_INVALID, CERTIFICATE_MISMATCH, CERTIFICATE_EXPIRED
 */
export function checkKeyPair({ kind, cert, key, ca }: KeyPairTexts, nowMs: number): X509Certificate {
  const chain = certificatesOf(cert)
  const [leaf, ...rest] = chain as [X509Certificate, ...X509Certificate[]]
  const intermediates = rest.filter((certificate) => !isSelfSigned(certificate))
  if (intermediates.length >= maxChainCertificates) {
    const message = `the chain of the ${kind} certificate has more than ${maxChainCertificates} certificates`
    throw invalid(cert.file, message, 'leave only the intermediates that lead to the root')
  }
  const privateKey = readPrivateKey(key, kind)
  if (!leaf.checkPrivateKey(privateKey)) {
    const later = rest.some((certificate) => certificate.checkPrivateKey(privateKey))
    throw mismatch(
      cert.file,
      `the ${kind} certificate ${nameOf(leaf)} does not belong to the key ${key.file}`,
      later ? 'put the certificate of the key first in the file' : 'use the key that it was issued for',
    )
  }
  const usage = kind === 'serving' ? serverAuthUsage : clientAuthUsage
  const roots = checkCaBundle(ca)
  const fault = findChainFault(leaf, rest, roots, { nowMs, skewToleranceMs: 0, usage })
  if (fault !== undefined) throw chainError(fault, { kind, cert, key, ca }, chain)
  return leaf
}

/**
 * Checks that a serving certificate names this node, and its PeerId where it names any.
 * @throws StarlingError CERTIFICATE_MISMATCH
 */
export function checkServingNames(
  file: string,
  leaf: X509Certificate,
  node: { name: string; peerId: PeerId; identityFile: string },
): void {
  const named = peerIdsNamedBy(leaf)
  if (named.length > 0 && !named.includes(node.peerId)) {
    throw mismatch(
      file,
      `the serving certificate ${nameOf(leaf)} names the PeerId ${named[0]?.slice(0, 100)}, but ${node.identityFile} is ${node.peerId}`,
      'use the identity that the certificate was issued with, or issue a new certificate',
    )
  }
  if (!isNamedBy(leaf, node.name)) {
    const known = (leaf.subjectAltName ?? '').slice(0, 200)
    throw mismatch(
      file,
      `the serving certificate ${nameOf(leaf)} does not name this node, ${JSON.stringify(node.name)}`,
      `set node.name to one of its names (${known === '' ? 'it has none' : known}), or issue one with this name`,
    )
  }
}

/** OpenSSL throws at a name that is no host name, and at an address that is none. */
function isNamedBy(leaf: X509Certificate, name: string): boolean {
  const checks = [() => leaf.checkHost(name), () => leaf.checkIP(name)]
  return checks.some((check) => {
    try {
      return check() !== undefined
    } catch {
      return false
    }
  })
}

/** @throws StarlingError TRUST_FILE_INVALID where the text is not a private Ed25519 key */
export function checkIdentity(identity: TrustText): Identity {
  const key = readPrivateKey(identity, 'identity')
  if (key.asymmetricKeyType !== 'ed25519') {
    const message = `the identity key is of type ${key.asymmetricKeyType}, not Ed25519`
    throw invalid(identity.file, message, 'make one with: openssl genpkey -algorithm ed25519')
  }
  return readIdentity(identity.text)
}

/** The pair as the rest of the node keeps it. */
export function keyPairOf(cert: TrustText, key: TrustText): KeyPair {
  return { certPem: cert.text, keyPem: key.text }
}

function certificatesOf({ file, text }: TrustText): readonly X509Certificate[] {
  let certificates: readonly X509Certificate[]
  try {
    certificates = readCertificates(text)
  } catch (error) {
    throw invalid(
      file,
      'a certificate in the file cannot be read',
      'expected PEM as its issuer made it',
      error,
    )
  }
  if (certificates.length > 0) return certificates
  throw invalid(file, 'the file holds no certificate', 'expected PEM: -----BEGIN CERTIFICATE-----')
}

function readPrivateKey({ file, text }: TrustText, kind: string): KeyObject {
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    throw invalid(file, 'the file holds no private key', 'expected PEM: -----BEGIN PRIVATE KEY-----')
  }
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text)) {
    const hint = `write it without one: openssl pkey -in ${file} -out NEW.key`
    throw invalid(file, `the ${kind} key is protected by a passphrase`, hint)
  }
  try {
    return createPrivateKey(text)
  } catch (error) {
    throw invalid(file, `the ${kind} key cannot be read`, 'expected an EC, RSA or Ed25519 key in PEM', error)
  }
}

function chainError(
  fault: ChainFault,
  { kind, cert, ca }: KeyPairTexts,
  chain: readonly X509Certificate[],
): StarlingError {
  const own = chain.some(({ fingerprint256 }) => fingerprint256 === fault.certificate.fingerprint256)
  const what = chain[0] === fault.certificate ? `the ${kind} certificate` : 'the certificate'
  const message = `${what} ${nameOf(fault.certificate)} ${fault.message}`
  const file = own ? cert.file : ca.file
  switch (fault.reason) {
    case 'expired':
      return new StarlingError('CERTIFICATE_EXPIRED', message, {
        hint: 'renew it, or set the clock of this machine',
        position: { file },
      })
    case 'not-yet-valid':
      return new StarlingError('CERTIFICATE_EXPIRED', message, {
        hint: 'set the clock of this machine, or wait',
        position: { file },
      })
    case 'untrusted':
      return mismatch(
        file,
        `${what} ${nameOf(fault.certificate)} ${fault.message.replace('the CA file', ca.file)}`,
        'use the CA that signed it, and put missing intermediates behind it in its file',
      )
    default:
      return invalid(file, message, `issue a ${kind} certificate that may be used as one`)
  }
}

function nameOf(certificate: X509Certificate): string {
  return JSON.stringify(subjectOf(certificate))
}

function invalid(file: string, message: string, hint: string, cause?: unknown): StarlingError {
  return new StarlingError('TRUST_FILE_INVALID', message, { hint, position: { file }, cause })
}

function mismatch(file: string, message: string, hint: string): StarlingError {
  return new StarlingError('CERTIFICATE_MISMATCH', message, { hint, position: { file } })
}
