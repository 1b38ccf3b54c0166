import 'reflect-metadata'
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  webcrypto,
  X509Certificate,
} from 'node:crypto'
import * as x509 from '@peculiar/x509'
import type { KeyPair } from '../../lib/core/credentials.ts'

/** Certificates as other tools make them: RSA and EC keys, chains, odd extensions. */
export interface ForeignTerms {
  readonly name: string
  readonly issuer?: KeyPair
  readonly key?: 'p256' | 'p384' | 'rsa2048' | 'rsa1024' | 'secp256k1' | 'ed25519'
  /** Makes it a CA, with this path length. */
  readonly ca?: { pathLength?: number }
  readonly usages?: readonly string[]
  readonly dns?: readonly string[]
  readonly uris?: readonly string[]
  readonly extensions?: readonly x509.Extension[]
  readonly notBeforeMs?: number
  readonly notAfterMs?: number
}

const makers: Record<NonNullable<ForeignTerms['key']>, () => KeyObject> = {
  p256: () => generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey,
  p384: () => generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).privateKey,
  secp256k1: () => generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey,
  rsa2048: () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
  rsa1024: () => generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey,
  ed25519: () => generateKeyPairSync('ed25519').privateKey,
}

export async function makeForeignCertificate(terms: ForeignTerms): Promise<KeyPair> {
  const key = makers[terms.key ?? 'p256']()
  const publicDer = createPublicKey(key).export({ type: 'spki', format: 'der' })
  const signer = terms.issuer === undefined ? key : createPrivateKey(terms.issuer.keyPem)
  const algorithm = algorithmOf(signer)
  const subject = `CN=${terms.name}`
  const extensions: x509.Extension[] = [...(terms.extensions ?? [])]
  if (terms.ca !== undefined) {
    extensions.push(new x509.BasicConstraintsExtension(true, terms.ca.pathLength, true))
  }
  if (terms.usages !== undefined) extensions.push(new x509.ExtendedKeyUsageExtension([...terms.usages]))
  const names: x509.JsonGeneralName[] = [
    ...(terms.dns ?? []).map((value): x509.JsonGeneralName => ({ type: 'dns', value })),
    ...(terms.uris ?? []).map((value): x509.JsonGeneralName => ({ type: 'url', value })),
  ]
  if (names.length > 0) extensions.push(new x509.SubjectAlternativeNameExtension(names))
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: `4${randomBytes(8).toString('hex').slice(1)}`,
      notBefore: new Date(terms.notBeforeMs ?? Date.now() - 3_600_000),
      notAfter: new Date(terms.notAfterMs ?? Date.now() + 3_600_000),
      subject,
      issuer:
        terms.issuer === undefined
          ? subject
          : new x509.X509Certificate(new X509Certificate(terms.issuer.certPem).raw).subjectName,
      publicKey: new x509.PublicKey(publicDer),
      signingKey: signer.toCryptoKey(algorithm, false, ['sign']),
      signingAlgorithm: algorithm,
      extensions,
    },
    webcrypto,
  )
  return {
    certPem: `${certificate.toString('pem')}\n`,
    keyPem: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

export function unknownCriticalExtension(): x509.Extension {
  return new x509.Extension('1.2.3.4', true, Uint8Array.of(5, 0))
}

function algorithmOf(key: KeyObject): { name: string; hash: string; namedCurve: string } {
  const hash = 'SHA-256'
  if (key.asymmetricKeyType === 'rsa') return { name: 'RSASSA-PKCS1-v1_5', hash, namedCurve: '' }
  if (key.asymmetricKeyType === 'ed25519') return { name: 'Ed25519', hash, namedCurve: '' }
  const curves: Record<string, string> = { prime256v1: 'P-256', secp384r1: 'P-384', secp256k1: 'K-256' }
  return { name: 'ECDSA', hash, namedCurve: curves[key.asymmetricKeyDetails?.namedCurve ?? ''] ?? '' }
}
