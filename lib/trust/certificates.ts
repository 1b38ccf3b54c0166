// @peculiar/x509 is built on a library that does not load without it.
import 'reflect-metadata'
import {
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  webcrypto,
  X509Certificate,
} from 'node:crypto'
import * as x509 from '@peculiar/x509'
import type { KeyPair } from '../core/credentials.ts'
import { StarlingError } from '../core/errors.ts'
import type { PeerId } from '../core/peer-id.ts'
import { peerUriPrefix } from './attestation.ts'
import { serverRoleUri } from './certificate-role.ts'

export const serialSizeBytes = 16
/** Most characters of a common name (RFC 5280 appendix A, ub-common-name). */
export const maxCommonNameLength = 64

/** What every certificate needs. */
export interface CertificateTerms {
  /** Milliseconds since 1970. */
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** 16 random bytes; they become a positive integer (RFC 5280 §4.1.2.2). */
  readonly serial: Uint8Array
}

/** What a certificate says of its bearer beyond its name. */
export interface CertificateRole {
  /** It may answer as, or ask as, a server of the cluster; default not. */
  readonly server?: boolean
}

export interface ServingSubject extends CertificateRole {
  readonly nodeName: string
  /** IPv4 and IPv6 addresses, and host names. The node's name and the loopback names are added. */
  readonly addresses: readonly string[]
  /** Undefined for what no PeerId belongs to: the endpoint of a server. */
  readonly peerId: PeerId | undefined
}

const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const loopback = ['localhost', '127.0.0.1', '::1'] as const
const { ExtendedKeyUsage, KeyUsageFlags } = x509

/** A new root with a P-256 key of its own. */
export async function makeCertificateAuthority(
  commonName: string,
  terms: CertificateTerms,
): Promise<KeyPair> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const keys = {
    publicKey: publicKey.toCryptoKey(keyAlgorithm, true, ['verify']),
    privateKey: privateKey.toCryptoKey(keyAlgorithm, true, ['sign']),
  }
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      ...written(terms),
      name: [{ CN: [commonName] }],
      keys,
      signingAlgorithm: keyAlgorithm,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  )
  return { certPem: pemOf(certificate), keyPem: keyPemOf(privateKey) }
}

/**
 * A serving certificate with a new P-256 key: its names are the node's, its addresses, loopback, and `starling:<PeerId>`.
 * @throws StarlingError TRUST_FILE_INVALID where the CA's key is of a kind that cannot sign
 */
export async function issueServingCertificate(
  ca: KeyPair,
  subject: ServingSubject,
  terms: CertificateTerms,
): Promise<KeyPair> {
  const { spki, keyPem } = makeKey()
  return { certPem: await certifyServing(ca, subject, spki, terms), keyPem }
}

/**
 * The same for a key that its owner has made.
 * @param spki SubjectPublicKeyInfo of the key, DER
 * @returns the certificate, PEM
 */
export async function certifyServing(
  ca: KeyPair,
  subject: ServingSubject,
  spki: Uint8Array,
  terms: CertificateTerms,
): Promise<string> {
  const own = subject.peerId === undefined ? [] : [`${peerUriPrefix}${subject.peerId}`]
  const uris = [...own, ...roleUris(subject)]
  const names: x509.JsonGeneralName[] = [
    ...servingHosts(subject).map(
      (host): x509.JsonGeneralName => ({ type: isAddress(host) ? 'ip' : 'dns', value: host }),
    ),
    ...uris.map((value): x509.JsonGeneralName => ({ type: 'url', value })),
  ]
  return certify(ca, subject.nodeName, spki, terms, [
    new x509.SubjectAlternativeNameExtension(names),
    new x509.ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
  ])
}

/** The names and addresses of a serving certificate, each once. */
export function servingHosts(subject: Pick<ServingSubject, 'nodeName' | 'addresses'>): readonly string[] {
  return [...new Set([subject.nodeName, ...subject.addresses, ...loopback])]
}

/**
 * A client certificate with a new P-256 key; its common name is the node's name.
 * @throws StarlingError TRUST_FILE_INVALID where the CA's key is of a kind that cannot sign
 */
export async function issueClientCertificate(
  ca: KeyPair,
  nodeName: string,
  terms: CertificateTerms,
  role: CertificateRole = {},
): Promise<KeyPair> {
  const { spki, keyPem } = makeKey()
  return { certPem: await certifyClient(ca, nodeName, spki, terms, role), keyPem }
}

/** The same for a key that its owner has made (SubjectPublicKeyInfo, DER); returns the certificate, PEM. */
export async function certifyClient(
  ca: KeyPair,
  nodeName: string,
  spki: Uint8Array,
  terms: CertificateTerms,
  role: CertificateRole = {},
): Promise<string> {
  const names = roleUris(role).map((value): x509.JsonGeneralName => ({ type: 'url', value }))
  return certify(ca, nodeName, spki, terms, [
    ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
    new x509.ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
  ])
}

function roleUris({ server = false }: CertificateRole): string[] {
  return server ? [serverRoleUri] : []
}

function makeKey(): { spki: Uint8Array; keyPem: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { spki: publicKey.export({ type: 'spki', format: 'der' }), keyPem: keyPemOf(privateKey) }
}

async function certify(
  ca: KeyPair,
  commonName: string,
  spki: Uint8Array,
  terms: CertificateTerms,
  extensions: x509.Extension[],
): Promise<string> {
  const issuer = new X509Certificate(ca.certPem)
  const signingAlgorithm = signingAlgorithmOf(createPrivateKey(ca.keyPem))
  const signingKey = createPrivateKey(ca.keyPem).toCryptoKey(signingAlgorithm, false, ['sign'])
  const subjectKey = new x509.PublicKey(spki)
  const issuerKey = new x509.PublicKey(issuer.publicKey.export({ type: 'spki', format: 'der' }))
  const certificate = await x509.X509CertificateGenerator.create(
    {
      ...written(terms),
      subject: [{ CN: [commonName] }],
      issuer: new x509.X509Certificate(issuer.raw).subjectName,
      publicKey: subjectKey,
      signingKey,
      signingAlgorithm,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        ...extensions,
        await x509.SubjectKeyIdentifierExtension.create(subjectKey, false, webcrypto),
        await x509.AuthorityKeyIdentifierExtension.create(issuerKey, false, webcrypto),
      ],
    },
    webcrypto,
  )
  return pemOf(certificate)
}

export function written(terms: CertificateTerms): { serialNumber: string; notBefore: Date; notAfter: Date } {
  const serial = Buffer.from(terms.serial)
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40
  return {
    serialNumber: serial.toString('hex'),
    notBefore: new Date(terms.notBeforeMs),
    notAfter: new Date(terms.notAfterMs),
  }
}

export function signingAlgorithmOf(
  key: KeyObject,
): { name: string; hash: string; namedCurve: string } | { name: string; hash: string } {
  const curve = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' }[
    key.asymmetricKeyDetails?.namedCurve ?? ''
  ]
  if (key.asymmetricKeyType === 'rsa') return { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
  if (curve !== undefined) return { name: 'ECDSA', hash: 'SHA-256', namedCurve: curve }
  throw new StarlingError(
    'TRUST_FILE_INVALID',
    `a CA key of type ${key.asymmetricKeyType} cannot sign here`,
    {
      hint: 'use an EC (P-256, P-384, P-521) or RSA key',
    },
  )
}

function isAddress(host: string): boolean {
  return host.includes(':') || /^\d+\.\d+\.\d+\.\d+$/.test(host)
}

export function pemOf(certificate: x509.X509Certificate): string {
  return `${certificate.toString('pem').trimEnd()}\n`
}

function keyPemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString()
}
