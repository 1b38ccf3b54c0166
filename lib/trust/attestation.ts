import { createHash, createPrivateKey, sign, type X509Certificate } from 'node:crypto'
import type { CredentialSet } from '../core/credentials.ts'
import { StarlingError } from '../core/errors.ts'
import type { Attestation } from '../core/messaging.ts'
import { type PeerId, peerIdFromPublicKey, publicKeySizeBytes } from '../core/peer-id.ts'
import { FieldWriter, readVersioned } from '../core/wire.ts'
import {
  certificateKeyHashOf,
  findChainFault,
  isSelfSigned,
  maxChainCertificates,
  readCertificate,
  readCertificates,
  serverAuthUsage,
  subjectOf,
} from './certificate-chain.ts'
import { readCertificateExtensions } from './certificate-extensions.ts'
import { ed25519PublicKey, ed25519SignatureSizeBytes, signWithKey, verifyWithKey } from './key-signature.ts'

/** Most bytes of an attestation: a chain of RSA certificates with room to spare. */
export const maxAttestationSizeBytes = 16_384
/** Clocks of nodes may differ by this much before a certificate counts as expired or not valid yet. */
export const attestationSkewToleranceMs = 300_000
/** Scheme of the subject alternative name by which our own CA names a PeerId. */
export const peerUriPrefix = 'starling:'

/** Why an attestation is refused; a closed set, fit for a metric's label. */
export type AttestationRefusal =
  | 'malformed'
  | 'untrusted'
  | 'expired'
  | 'not-yet-valid'
  | 'usage'
  | 'unsupported'
  | 'peer-id'
  | 'signature'

/** ATTESTATION_REFUSED with its reason. */
export class AttestationRefusedError extends StarlingError {
  readonly reason: AttestationRefusal

  constructor(reason: AttestationRefusal, message: string, cause?: unknown) {
    super('ATTESTATION_REFUSED', message, { cause })
    this.reason = reason
  }
}

const certificateContext = Buffer.from('starling/1/attestation/certificate\0')
const identityContext = Buffer.from('starling/1/attestation/identity\0')
const maxSignatureSizeBytes = 1024
const fields = { publicKey: 1, certificate: 2, certificateSignature: 3, identitySignature: 4 } as const

interface Parts {
  readonly publicKey: Uint8Array
  readonly chain: readonly X509Certificate[]
  readonly certificateSignature: Uint8Array
  readonly identitySignature: Uint8Array
}

/**
 * Binds a PeerId to its serving certificate (DESIGN §7): each of the two keys signs for the other. It holds no
 * secret and is the same for every reader, so anybody can pass it on. Roots are left out of the chain.
 */
export function makeAttestation(credentials: CredentialSet): Attestation {
  const chain = readCertificates(credentials.serving.certPem)
  const leaf = chain[0]
  if (leaf === undefined) throw new StarlingError('TRUST_FILE_INVALID', 'there is no serving certificate')
  const sent = [leaf, ...chain.slice(1).filter((certificate) => !isSelfSigned(certificate))]
  const { identityPublicKey, identityPrivateKey } = credentials
  const key = createPrivateKey(credentials.serving.keyPem)
  const writer = new FieldWriter().bytes(fields.publicKey, identityPublicKey)
  for (const certificate of sent) writer.bytes(fields.certificate, certificate.raw)
  const bytes = writer
    .bytes(fields.certificateSignature, signWithKey(key, signedByCertificate(identityPublicKey, leaf)))
    .bytes(fields.identitySignature, sign(null, signedByIdentity(leaf), identityPrivateKey))
    .finishVersioned()
  if (sent.length > maxChainCertificates || bytes.length > maxAttestationSizeBytes) {
    throw new StarlingError('TRUST_FILE_INVALID', 'the chain of the serving certificate is too long', {
      hint: `leave at most ${maxChainCertificates - 1} intermediate certificates in it`,
    })
  }
  return describe(credentials.peerId, leaf, bytes)
}

/**
 * Checks what a peer showed or passed on, from the cheap to the dear.
 * @param serverCaPem bundle of the cluster's server CA
 * @param nowMs wall clock, milliseconds since 1970; off by up to `attestationSkewToleranceMs` is forgiven
 * @throws AttestationRefusedError (StarlingError ATTESTATION_REFUSED) with the reason
 */
export function checkAttestation(bytes: Uint8Array, serverCaPem: string, nowMs: number): Attestation {
  const { publicKey, chain, certificateSignature, identitySignature } = decode(bytes)
  const peerId = peerIdFromPublicKey(publicKey)
  const leaf = chain[0] as X509Certificate
  const options = { nowMs, skewToleranceMs: attestationSkewToleranceMs, usage: serverAuthUsage }
  const fault = findChainFault(leaf, chain.slice(1), readCertificates(serverCaPem), options)
  if (fault !== undefined) {
    throw new AttestationRefusedError(
      fault.reason,
      `the certificate ${JSON.stringify(subjectOf(fault.certificate))} of ${peerId} ${fault.message}`,
    )
  }
  const named = peerIdsNamedBy(leaf)
  if (named.length > 0 && !named.includes(peerId)) {
    const message = `the certificate ${JSON.stringify(subjectOf(leaf))} names ${named[0]?.slice(0, 100)}, not ${peerId}`
    throw new AttestationRefusedError('peer-id', message)
  }
  if (!verifyWithKey(leaf.publicKey, signedByCertificate(publicKey, leaf), certificateSignature)) {
    throw new AttestationRefusedError('signature', `the certificate's key has not signed for ${peerId}`)
  }
  if (!verifyIdentity(publicKey, signedByIdentity(leaf), identitySignature)) {
    const message = `${peerId} has not signed for the certificate ${JSON.stringify(subjectOf(leaf))}`
    throw new AttestationRefusedError('signature', message)
  }
  return describe(peerId, leaf, Uint8Array.from(bytes))
}

/** The certificate of an attestation that has passed `checkAttestation`. */
export function certificateOf(attestation: Attestation): X509Certificate {
  return decode(attestation.bytes).chain[0] as X509Certificate
}

/** PeerIds that the subject alternative names of a certificate carry as `starling:<PeerId>`, unchecked text. */
export function peerIdsNamedBy(certificate: X509Certificate): readonly string[] {
  return readCertificateExtensions(certificate.raw)
    .uris.filter((uri) => uri.startsWith(peerUriPrefix))
    .map((uri) => uri.slice(peerUriPrefix.length))
}

function decode(bytes: Uint8Array): Parts {
  if (bytes.length > maxAttestationSizeBytes) {
    const message = `an attestation has at most ${maxAttestationSizeBytes} bytes, not ${bytes.length}`
    throw new AttestationRefusedError('malformed', message)
  }
  let publicKey: Uint8Array | undefined
  let certificateSignature: Uint8Array | undefined
  let identitySignature: Uint8Array | undefined
  const chain: X509Certificate[] = []
  try {
    readVersioned(bytes, (field) => {
      if (field.number === fields.publicKey) publicKey = field.fixedBytes(publicKeySizeBytes)
      else if (field.number === fields.certificateSignature) {
        certificateSignature = field.bytes(maxSignatureSizeBytes)
      } else if (field.number === fields.identitySignature) {
        identitySignature = field.fixedBytes(ed25519SignatureSizeBytes)
      } else if (field.number === fields.certificate) {
        if (chain.length === maxChainCertificates) throw new RangeError('too many certificates')
        chain.push(readDer(field.bytes()))
      }
    })
  } catch (error) {
    throw new AttestationRefusedError('malformed', 'the attestation does not decode', error)
  }
  if (publicKey === undefined || certificateSignature === undefined || identitySignature === undefined) {
    throw new AttestationRefusedError('malformed', 'the attestation is incomplete')
  }
  if (chain.length === 0) throw new AttestationRefusedError('malformed', 'the attestation has no certificate')
  return { publicKey, chain, certificateSignature, identitySignature }
}

/** Only DER, byte for byte: OpenSSL would take PEM and trailing bytes too. */
function readDer(der: Uint8Array): X509Certificate {
  const certificate = readCertificate(der)
  if (!certificate.raw.equals(der)) throw new RangeError('not the DER of one certificate')
  return certificate
}

function verifyIdentity(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    return verifyWithKey(ed25519PublicKey(publicKey), message, signature)
  } catch {
    return false
  }
}

function signedByCertificate(publicKey: Uint8Array, leaf: X509Certificate): Uint8Array {
  return Buffer.concat([certificateContext, publicKey, certificateHash(leaf)])
}

function signedByIdentity(leaf: X509Certificate): Uint8Array {
  return Buffer.concat([identityContext, certificateHash(leaf)])
}

function certificateHash(certificate: X509Certificate): Uint8Array {
  return createHash('sha256').update(certificate.raw).digest()
}

function describe(peerId: PeerId, leaf: X509Certificate, bytes: Uint8Array): Attestation {
  return {
    peerId,
    bytes,
    certificateKeyHash: certificateKeyHashOf(leaf),
    notAfterMs: leaf.validToDate.getTime(),
    subject: subjectOf(leaf),
  }
}
