import type { X509Certificate } from 'node:crypto'
import { isSelfSigned, readCertificates } from './certificate-chain.ts'
import { rootHashOf } from './join-token.ts'

/**
 * What a token's hash lets a node believe of a bundle that a stranger sent: the root with that hash, and the CA
 * certificates that it vouches for, a new root that it has cross-signed among them. Self-signed certificates other
 * than the root are left out, so that nothing else can end a chain.
 * @returns PEM of the root, then of the others; undefined where the root is not in the bundle
 */
export function anchorsOf(bundlePem: string, rootHash: string): readonly string[] | undefined {
  const certificates = certificatesIn(bundlePem)
  const root = certificates.find(({ raw, ca }) => ca && rootHashOf(raw) === rootHash)
  if (root === undefined || !isSelfSigned(root)) return undefined
  const believed = [root]
  const rest = new Set(certificates.filter((certificate) => certificate.ca && !isSelfSigned(certificate)))
  for (let grew = true; grew; ) {
    grew = false
    for (const certificate of rest) {
      if (!believed.some((issuer) => isIssuedBy(certificate, issuer))) continue
      believed.push(certificate)
      rest.delete(certificate)
      grew = true
    }
  }
  return believed.map((certificate) => certificate.toString())
}

/** The self-signed roots of a bundle with the hashes that tokens would have for them: for tokens that pin none. */
export function rootsOf(bundlePem: string): readonly { readonly pem: string; readonly hash: string }[] {
  return certificatesIn(bundlePem)
    .filter((certificate) => certificate.ca && isSelfSigned(certificate))
    .map((certificate) => ({ pem: certificate.toString(), hash: rootHashOf(certificate.raw) }))
}

function certificatesIn(bundlePem: string): readonly X509Certificate[] {
  try {
    return readCertificates(bundlePem)
  } catch {
    return []
  }
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
  } catch {
    return false
  }
}
