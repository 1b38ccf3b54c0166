import { createHash, X509Certificate } from 'node:crypto'
import { extensionIds, readCertificateExtensions } from './certificate-extensions.ts'
import { weaknessOf } from './key-signature.ts'

export const maxBundleCertificates = 64
/** Certificates between the root and the leaf, the leaf included. */
export const maxChainCertificates = 5

export const serverAuthUsage = '1.3.6.1.5.5.7.3.1'
export const clientAuthUsage = '1.3.6.1.5.5.7.3.2'

/** Why a chain is refused; `certificate` is the one at fault. */
export interface ChainFault {
  readonly reason: 'untrusted' | 'expired' | 'not-yet-valid' | 'usage' | 'unsupported'
  readonly message: string
  readonly certificate: X509Certificate
}

const handledExtensions: ReadonlySet<string> = new Set(Object.values(extensionIds))

/**
 * Splits PEM text into certificates. Text between the blocks is skipped.
 * @throws Error where a block is no certificate, or there are more than 64
 */
export function readCertificates(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []
  if (blocks.length > maxBundleCertificates)
    throw new Error(`more than ${maxBundleCertificates} certificates`)
  return blocks.map((block) => readCertificate(block))
}

/**
 * Reads one certificate, PEM or DER, so far that later looks at its key, dates and extensions cannot fail.
 * @throws Error where that is not possible
 */
export function readCertificate(encoded: string | Uint8Array): X509Certificate {
  const certificate = new X509Certificate(encoded)
  const dates = [certificate.validFromDate.getTime(), certificate.validToDate.getTime()]
  if (certificate.publicKey.type !== 'public' || dates.some(Number.isNaN)) {
    throw new RangeError('the certificate has no usable key or dates')
  }
  readCertificateExtensions(certificate.raw)
  return certificate
}

/** SHA-256 of the SubjectPublicKeyInfo of a certificate (the first one, where PEM holds several); 32 bytes. */
export function certificateKeyHashOf(cert: string | Uint8Array | X509Certificate): Uint8Array {
  const { publicKey } = cert instanceof X509Certificate ? cert : new X509Certificate(cert)
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest()
}

/** The common name of the subject, or the whole subject where it has none; at most 200 characters. */
export function subjectOf(certificate: X509Certificate): string {
  const subject = certificate.subject ?? ''
  const name = /^CN=(.*)$/m.exec(subject)?.[1] ?? subject.replaceAll('\n', ', ')
  return (name === '' ? '(no subject)' : name).slice(0, 200)
}

/** Is it issued by its own key? Only such a certificate ends a chain, as in OpenSSL. */
export function isSelfSigned(certificate: X509Certificate): boolean {
  return isIssuedBy(certificate, certificate)
}

/**
 * Looks for a chain from `leaf` over `intermediates` and `anchors` to a self-signed one of the `anchors` in which every
 * certificate is valid at `nowMs` (RFC 5280 §6, without policies; names are not looked at, so name constraints
 * have nothing to constrain). A leaf without extended key usages may be used for anything (§4.2.1.12).
 * @returns the fault nearest to success, or undefined where the chain is good
 */
export function findChainFault(
  leaf: X509Certificate,
  intermediates: readonly X509Certificate[],
  anchors: readonly X509Certificate[],
  options: { nowMs: number; skewToleranceMs: number; usage: string },
): ChainFault | undefined {
  const usages: readonly string[] | undefined = leaf.keyUsage
  if (usages !== undefined && usages.length > 0 && !usages.includes(options.usage)) {
    const wanted = options.usage === serverAuthUsage ? 'serverAuth' : 'clientAuth'
    return { reason: 'usage', message: `lacks the extended key usage ${wanted}`, certificate: leaf }
  }
  const search = new ChainSearch([...anchors, ...intermediates], new Set(anchors.map(idOf)), options)
  return search.climb(leaf, 0)
}

class ChainSearch {
  readonly #issuers: readonly X509Certificate[]
  readonly #anchors: ReadonlySet<string>
  readonly #options: { nowMs: number; skewToleranceMs: number }
  readonly #visited = new Set<string>()

  constructor(
    issuers: readonly X509Certificate[],
    anchors: ReadonlySet<string>,
    options: { nowMs: number; skewToleranceMs: number },
  ) {
    this.#issuers = issuers
    this.#anchors = anchors
    this.#options = options
  }

  climb(certificate: X509Certificate, depth: number): ChainFault | undefined {
    this.#visited.add(idOf(certificate))
    const own = this.#faultOf(certificate)
    if (own !== undefined) return own
    if (this.#anchors.has(idOf(certificate)) && isSelfSigned(certificate)) return undefined
    let nearest: ChainFault | undefined
    if (depth < maxChainCertificates) {
      for (const issuer of this.#issuers) {
        if (this.#visited.has(idOf(issuer)) || !issuer.ca || !isIssuedBy(certificate, issuer)) continue
        const limit = readCertificateExtensions(issuer.raw).pathLength
        if (limit !== undefined && depth > limit) continue
        const fault = this.climb(issuer, depth + 1)
        if (fault === undefined) return undefined
        if (nearest === undefined || nearest.reason === 'untrusted') nearest = fault
      }
    }
    const message = `is issued by ${issuerOf(certificate)}, which leads to no root of the CA file`
    return nearest ?? { reason: 'untrusted', message, certificate }
  }

  #faultOf(certificate: X509Certificate): ChainFault | undefined {
    const { nowMs, skewToleranceMs } = this.#options
    const [from, to] = [certificate.validFromDate, certificate.validToDate]
    if (nowMs < from.getTime() - skewToleranceMs) {
      return { reason: 'not-yet-valid', message: `is not valid before ${from.toISOString()}`, certificate }
    }
    if (nowMs > to.getTime() + skewToleranceMs) {
      return { reason: 'expired', message: `has expired at ${to.toISOString()}`, certificate }
    }
    const weakness = weaknessOf(certificate.publicKey)
    if (weakness !== undefined)
      return { reason: 'unsupported', message: `cannot be used: ${weakness}`, certificate }
    const { critical } = readCertificateExtensions(certificate.raw)
    const unknown = critical.find((id) => !handledExtensions.has(id))
    if (unknown === undefined) return undefined
    const message = `has a critical extension that is not understood (DER ${unknown.slice(0, 40)})`
    return { reason: 'unsupported', message, certificate }
  }
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
  } catch {
    return false
  }
}

function issuerOf(certificate: X509Certificate): string {
  const issuer = certificate.issuer ?? ''
  return JSON.stringify((/^CN=(.*)$/m.exec(issuer)?.[1] ?? issuer.replaceAll('\n', ', ')).slice(0, 200))
}

function idOf(certificate: X509Certificate): string {
  return certificate.fingerprint256
}
