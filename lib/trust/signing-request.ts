// @peculiar/x509 is built on a library that does not load without it.
import 'reflect-metadata'
import { createPrivateKey, createPublicKey, webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { JoinRefusedError } from './join-refusal.ts'
import { weaknessOf } from './key-signature.ts'

const maxRequestSizeBytes = 8192
const maxNames = 64
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const subjectAltName = '2.5.29.17'

/** Names that a certificate may have, each as `dns:…`, `ip:…` or `uri:…`. */
export type AllowedNames = ReadonlySet<string>

/**
 * A signing request (PKCS#10, RFC 2986) in PEM for a P-256 key.
 * @param names subject alternative names that are asked for, as in `AllowedNames`
 */
export async function makeSigningRequest(
  keyPem: string,
  nodeName: string,
  names: readonly string[] = [],
): Promise<string> {
  const privateKey = createPrivateKey(keyPem)
  const keys = {
    privateKey: privateKey.toCryptoKey(algorithm, false, ['sign']),
    publicKey: createPublicKey(privateKey).toCryptoKey(algorithm, true, ['verify']),
  }
  const extensions =
    names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names.map(generalName))]
  const request = await x509.Pkcs10CertificateRequestGenerator.create(
    { name: [{ CN: [nodeName] }], keys, signingAlgorithm: algorithm, extensions },
    webcrypto,
  )
  return `${request.toString('pem').trimEnd()}\n`
}

/**
 * Checks a signing request of a stranger, from the cheap to the dear; nothing of it but the key goes into a certificate.
 * @returns the SubjectPublicKeyInfo, DER
 * @throws JoinRefusedError (StarlingError JOIN_REFUSED): larger than 8 KiB, no PKCS#10, a key that is weak or of a kind
 *   that TLS clients can't use, another name than the node's, foreign subject alternative names, other extensions, a
 *   signature that its key hasn't made
 */
export async function checkSigningRequest(
  pem: string,
  { nodeName, allowed }: { nodeName: string; allowed: AllowedNames },
): Promise<Uint8Array> {
  const request = decode(pem)
  const spki = new Uint8Array(request.publicKey.rawData)
  const weakness = keyProblem(spki)
  if (weakness !== undefined) throw new JoinRefusedError('request-key', weakness)
  const names = request.subjectName.getField('CN')
  if (names.length !== 1 || names[0] !== nodeName || request.subjectName.toJSON().length !== 1) {
    throw new JoinRefusedError('request-names', 'the signing request is for another subject than the node')
  }
  for (const extension of request.extensions) {
    if (extension.type !== subjectAltName) {
      throw new JoinRefusedError('request-names', 'the signing request asks for extensions beyond names')
    }
    const foreign = namesOf(extension.rawData).find((name) => !allowed.has(name))
    if (foreign !== undefined) {
      const shown = JSON.stringify(foreign.slice(0, 100))
      throw new JoinRefusedError('request-names', `the signing request asks for the foreign name ${shown}`)
    }
  }
  const genuine = await request.verify(webcrypto).catch(() => false)
  if (!genuine)
    throw new JoinRefusedError('request-signature', 'the signing request is not signed by its key')
  return spki
}

function decode(pem: string): x509.Pkcs10CertificateRequest {
  const malformed = (message: string) => new JoinRefusedError('request-malformed', message)
  if (Buffer.byteLength(pem) > maxRequestSizeBytes) {
    throw malformed(`a signing request has at most ${maxRequestSizeBytes} bytes`)
  }
  if (
    !/^-----BEGIN CERTIFICATE REQUEST-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE REQUEST-----\s*$/.test(pem)
  ) {
    throw malformed('the signing request is no PEM of one')
  }
  try {
    const request = new x509.Pkcs10CertificateRequest(pem)
    // The parts are decoded when they are first asked for.
    request.subjectName.toString()
    request.publicKey.rawData.byteLength.toFixed()
    request.extensions.length.toFixed()
    return request
  } catch {
    throw malformed('the signing request does not decode')
  }
}

function keyProblem(spki: Uint8Array): string | undefined {
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
    const kind = key.asymmetricKeyType
    if (kind !== 'ec' && kind !== 'rsa') return `keys of type ${kind} are not supported here`
    return weaknessOf(key)
  } catch {
    return 'the key of the signing request cannot be read'
  }
}

function namesOf(extension: ArrayBuffer): string[] {
  try {
    const names = new x509.SubjectAlternativeNameExtension(extension).names.toJSON()
    if (names.length > maxNames) throw new RangeError('too many names')
    return names.map(({ type, value }) => `${type === 'url' ? 'uri' : type}:${value}`)
  } catch {
    throw new JoinRefusedError('request-malformed', 'the names of the signing request do not decode')
  }
}

function generalName(name: string): x509.JsonGeneralName {
  const type = name.slice(0, name.indexOf(':'))
  const value = name.slice(type.length + 1)
  return { type: type === 'uri' ? 'url' : type === 'ip' ? 'ip' : 'dns', value }
}
