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

interface Element {
  readonly tag: number
  readonly content: Uint8Array
}

const tags = { boolean: 0x01, integer: 0x02, sequence: 0x30, extensions: 0xa3, uri: 0x86 } as const
export const extensionIds = {
  keyUsage: '551d0f',
  subjectAltName: '551d11',
  basicConstraints: '551d13',
  nameConstraints: '551d1e',
  certificatePolicies: '551d20',
  extendedKeyUsage: '551d25',
} as const

/** @throws RangeError where the DER is malformed */
export function readCertificateExtensions(der: Uint8Array): CertificateExtensions {
  const certificate = elements(der)[0]
  const toBeSigned = certificate === undefined ? undefined : elements(certificate.content)[0]
  const wrapped = elements(toBeSigned?.content ?? new Uint8Array()).find(({ tag }) => tag === tags.extensions)
  const list = wrapped === undefined ? undefined : elements(wrapped.content)[0]
  const critical: string[] = []
  const uris: string[] = []
  let pathLength: number | undefined
  for (const extension of elements(list?.content ?? new Uint8Array())) {
    const parts = elements(extension.content)
    const id = Buffer.from(parts[0]?.content ?? []).toString('hex')
    const value = parts.at(-1)?.content ?? new Uint8Array()
    if (parts.length === 3 && parts[1]?.tag === tags.boolean && parts[1].content[0] !== 0) critical.push(id)
    if (id === extensionIds.basicConstraints) pathLength = readPathLength(value)
    if (id === extensionIds.subjectAltName) uris.push(...readUris(value))
  }
  return { critical, pathLength, uris }
}

function readPathLength(value: Uint8Array): number | undefined {
  const parts = elements(elements(value)[0]?.content ?? new Uint8Array())
  const integer = parts.find(({ tag }) => tag === tags.integer)?.content
  if (integer === undefined) return undefined
  return integer.reduce((total, byte) => total * 256 + byte, 0)
}

function readUris(value: Uint8Array): string[] {
  return elements(elements(value)[0]?.content ?? new Uint8Array())
    .filter(({ tag }) => tag === tags.uri)
    .map(({ content }) => Buffer.from(content).toString('latin1'))
}

/** The elements of a constructed value, definite lengths only (X.690 §8.1, §10.1). */
function elements(bytes: Uint8Array): Element[] {
  const found: Element[] = []
  let at = 0
  while (at < bytes.length) {
    const tag = bytes[at] as number
    let length = bytes[at + 1]
    let start = at + 2
    if (length !== undefined && length >= 0x80) {
      const count = length & 0x7f
      if (count === 0 || count > 4) throw new RangeError('DER length')
      length = 0
      for (const byte of bytes.subarray(start, start + count)) length = length * 256 + byte
      start += count
    }
    if (length === undefined || start + length > bytes.length) throw new RangeError('DER is truncated')
    found.push({ tag, content: bytes.subarray(start, start + length) })
    at = start + length
  }
  return found
}
