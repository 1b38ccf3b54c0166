import { derElements, derTags } from './der.ts'

/**
 * The few parts of a certificate (RFC 5280 §4.1) that node:crypto does not show, read from DER that OpenSSL has
 * already accepted: critical extensions, the path length and the URIs of the subject alternative name.
 */
export interface CertificateExtensions {
  /** Object identifiers of critical extensions, as hex of their DER content. */
  readonly critical: readonly string[]
  /** pathLenConstraint of the basic constraints; undefined: no limit. */
  readonly pathLength: number | undefined
  readonly uris: readonly string[]
}

/** One extension (RFC 5280 §4.1): its identifier as hex of its DER content, and its value. */
export interface CertificateExtension {
  readonly id: string
  readonly isCritical: boolean
  readonly value: Uint8Array
}

/** In a subject alternative name. */
const uriTag = 0x86
export const extensionIds = {
  keyUsage: '551d0f',
  subjectAltName: '551d11',
  basicConstraints: '551d13',
  nameConstraints: '551d1e',
  certificatePolicies: '551d20',
  extendedKeyUsage: '551d25',
} as const

/**
 * All extensions of a certificate, in its order.
 * @throws RangeError where the DER is malformed
 */
export function listExtensions(certificateDer: Uint8Array): CertificateExtension[] {
  const certificate = derElements(certificateDer)[0]
  const toBeSigned = certificate === undefined ? undefined : derElements(certificate.content)[0]
  const wrapped = derElements(toBeSigned?.content ?? new Uint8Array()).find(
    ({ tag }) => tag === derTags.extensions,
  )
  const list = wrapped === undefined ? undefined : derElements(wrapped.content)[0]
  return derElements(list?.content ?? new Uint8Array()).map((extension) => {
    const parts = derElements(extension.content)
    return {
      id: Buffer.from(parts[0]?.content ?? []).toString('hex'),
      isCritical: parts.length === 3 && parts[1]?.tag === derTags.boolean && parts[1].content[0] !== 0,
      value: parts.at(-1)?.content ?? new Uint8Array(),
    }
  })
}

/** @throws RangeError where the DER is malformed */
export function readCertificateExtensions(certificateDer: Uint8Array): CertificateExtensions {
  const critical: string[] = []
  const uris: string[] = []
  let pathLength: number | undefined
  for (const { id, isCritical, value } of listExtensions(certificateDer)) {
    if (isCritical) critical.push(id)
    if (id === extensionIds.basicConstraints) pathLength = readPathLength(value)
    if (id === extensionIds.subjectAltName) uris.push(...readUris(value))
  }
  return { critical, pathLength, uris }
}

function readPathLength(value: Uint8Array): number | undefined {
  const parts = derElements(derElements(value)[0]?.content ?? new Uint8Array())
  const integer = parts.find(({ tag }) => tag === derTags.integer)?.content
  if (integer === undefined) return undefined
  return integer.reduce((total, byte) => total * 256 + byte, 0)
}

function readUris(value: Uint8Array): string[] {
  return derElements(derElements(value)[0]?.content ?? new Uint8Array())
    .filter(({ tag }) => tag === uriTag)
    .map(({ content }) => Buffer.from(content).toString('latin1'))
}
