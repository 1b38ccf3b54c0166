import {
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
  X509Certificate,
} from 'node:crypto'
import { listExtensions } from './certificate-extensions.ts'
import { der, derElements, derTags } from './der.ts'
import { ed25519PublicKey, ed25519PublicKeyBytes, weaknessOf } from './key-signature.ts'

/**
 * The certificates in which nodes prove their identities to each other, as libp2p's TLS specification has them: self-signed, of
 * a key of their own, with an extension in which the identity signs that key. Certificates of the cluster are something else.
 */
export interface PeerCertificate {
  readonly certPem: string
  readonly keyPem: string
}

/** 1.3.6.1.4.1.53594.1.1 as hex of its DER content. */
const identityExtensionId = '2b0601040183a25a0101'
/** 1.2.840.10045.4.3.2, ecdsa-with-SHA256 (RFC 5758 §3.2). */
const ecdsaWithSha256 = Buffer.from('2a8648ce3d040302', 'hex')
const signatureContext = Buffer.from('libp2p-tls-handshake:')
/** Protobuf `PublicKey {type: Ed25519, data: 32 bytes}`, up to the 32 bytes (libp2p peer-ids specification). */
const publicKeyPrefix = Uint8Array.of(0x08, 0x01, 0x12, 0x20)
/** No clock has a say in whether a node can prove who it is; the cluster's certificates have their own dates. */
const validFrom = Buffer.from('700101000000Z')
/** RFC 5280 §4.1.2.5: has no well-defined end. */
const validTo = Buffer.from('99991231235959Z')

/** The certificate of another node proves no identity; the message says why. */
export class PeerCertificateError extends Error {
  override readonly name = 'PeerCertificateError'
}

/**
 * A certificate for this identity, of a new key on P-256. The specification lets a node use one for all its connections.
 * @param identity an Ed25519 private key
 */
export function makePeerCertificate(identity: KeyObject): PeerCertificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const identityKey = ed25519PublicKeyBytes(createPublicKey(identity))
  const signedKey = der(
    derTags.sequence,
    der(derTags.octetString, publicKeyPrefix, identityKey),
    der(derTags.octetString, sign(null, Buffer.concat([signatureContext, spki]), identity)),
  )
  const extension = der(
    derTags.sequence,
    der(derTags.objectId, Buffer.from(identityExtensionId, 'hex')),
    der(derTags.boolean, Uint8Array.of(0xff)),
    der(derTags.octetString, signedKey),
  )
  const algorithm = der(derTags.sequence, der(derTags.objectId, ecdsaWithSha256))
  const noName = der(derTags.sequence)
  const toBeSigned = der(
    derTags.sequence,
    der(derTags.version, der(derTags.integer, Uint8Array.of(2))),
    der(derTags.integer, Uint8Array.of(1)),
    algorithm,
    noName,
    der(derTags.sequence, der(derTags.utcTime, validFrom), der(derTags.generalizedTime, validTo)),
    noName,
    spki,
    der(derTags.extensions, der(derTags.sequence, extension)),
  )
  const signature = der(derTags.bitString, Uint8Array.of(0), sign('sha256', toBeSigned, privateKey))
  const certificate = new X509Certificate(der(derTags.sequence, toBeSigned, algorithm, signature))
  return {
    certPem: certificate.toString(),
    keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

/**
 * The public key, 32 bytes, of the identity that a certificate of another node proves. That its sender has the certificate's own
 * key is TLS's to prove.
 * @throws PeerCertificateError
 */
export function identityOfPeerCertificate(certificateDer: Uint8Array, nowMs: number): Uint8Array {
  try {
    return checkedIdentity(certificateDer, nowMs)
  } catch (error) {
    if (error instanceof PeerCertificateError) throw error
    throw new PeerCertificateError('it is malformed', { cause: error })
  }
}

function checkedIdentity(certificateDer: Uint8Array, nowMs: number): Uint8Array {
  const certificate = new X509Certificate(certificateDer)
  const { publicKey, subject, issuer, validFromDate, validToDate } = certificate
  const weakness = weaknessOf(publicKey)
  if (weakness !== undefined) throw new PeerCertificateError(weakness)
  if (validFromDate.getTime() > nowMs || validToDate.getTime() < nowMs) {
    throw new PeerCertificateError('it is not valid now')
  }
  if (subject !== issuer || !certificate.verify(publicKey))
    throw new PeerCertificateError('it is not self-signed')
  const [extension, ...others] = listExtensions(certificateDer)
  if (extension?.id !== identityExtensionId || others.some(({ id }) => id === identityExtensionId)) {
    throw new PeerCertificateError('it does not name one identity')
  }
  if (others.some(({ isCritical }) => isCritical)) {
    throw new PeerCertificateError('it has a critical extension that is not known here')
  }
  const [list] = derElements(extension.value)
  const [named, signature] = derElements(list?.content ?? new Uint8Array())
  if (named === undefined || signature === undefined) throw new PeerCertificateError('it is malformed')
  const identity = readPublicKey(named.content)
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const isSigned = verify(
    null,
    Buffer.concat([signatureContext, spki]),
    ed25519PublicKey(identity),
    signature.content,
  )
  if (!isSigned) throw new PeerCertificateError('the identity has not signed its key')
  return identity
}

function readPublicKey(bytes: Uint8Array): Uint8Array {
  const isEd25519 = publicKeyPrefix.every((byte, index) => bytes[index] === byte)
  if (!isEd25519 || bytes.length !== publicKeyPrefix.length + 32) {
    throw new PeerCertificateError('its identity is not Ed25519')
  }
  return Uint8Array.from(bytes.subarray(publicKeyPrefix.length))
}
