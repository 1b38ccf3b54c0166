// @peculiar/x509 is built on a library that does not load without it.
import 'reflect-metadata'
import { createPrivateKey, webcrypto, X509Certificate } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import type { KeyPair } from '../core/credentials.ts'
import { type CertificateTerms, pemOf, signingAlgorithmOf, written } from './certificates.ts'

/**
 * The certificate of a new root, signed by an old one: the same name and key, another issuer (RFC 5280 §3.2, cross-certificate).
 * Who trusts only the old root trusts through it what the new one has signed.
 * @returns PEM
 */
export async function crossSign(
  newRootPem: string,
  oldRoot: KeyPair,
  terms: CertificateTerms,
): Promise<string> {
  const subject = new x509.X509Certificate(new X509Certificate(newRootPem).raw)
  const issuer = new x509.X509Certificate(new X509Certificate(oldRoot.certPem).raw)
  const privateKey = createPrivateKey(oldRoot.keyPem)
  const signingAlgorithm = signingAlgorithmOf(privateKey)
  const { keyCertSign, cRLSign } = x509.KeyUsageFlags
  const certificate = await x509.X509CertificateGenerator.create(
    {
      ...written(terms),
      subject: subject.subjectName,
      issuer: issuer.subjectName,
      publicKey: subject.publicKey,
      signingKey: privateKey.toCryptoKey(signingAlgorithm, false, ['sign']),
      signingAlgorithm,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(keyCertSign | cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(subject.publicKey, false, webcrypto),
        await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  )
  return pemOf(certificate)
}
