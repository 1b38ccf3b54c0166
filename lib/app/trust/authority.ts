import { createPrivateKey, randomBytes, type X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import type { KeyPair } from '../../core/credentials.ts'
import { StarlingError } from '../../core/errors.ts'
import { readCertificates, subjectOf } from '../../trust/certificate-chain.ts'
import { makeCertificateAuthority, serialSizeBytes } from '../../trust/certificates.ts'
import { checkCaBundle } from '../../trust/credential-checks.ts'
import { formatKeyring, makePsk, minPskSizeBytes, parseKeyring } from '../../trust/keyring.ts'
import { exists, writeFolder } from './folder.ts'
import { readTrustText } from './text.ts'

/** What issues the certificates of a cluster that is set up from files, and its PSK. */
export interface FileAuthority {
  readonly serverCa: KeyPair
  readonly clientCa: KeyPair
  /** Text of the PSK file. */
  readonly psk: string
  /** Milliseconds since 1970 up to which both CAs are valid. */
  readonly notAfterMs: number
}

export const authorityFolder = 'ca'

/**
 * Reads DIR/ca, or makes it where it is absent.
 * @throws StarlingError TRUST_FILE_INVALID, TRUST_FILE_UNSAFE, CERTIFICATE_EXPIRED, CERTIFICATE_MISMATCH, DISK_FULL
 */
export async function openAuthority(
  dir: string,
  terms: { nowMs: number; notBeforeMs: number; notAfterMs: number },
): Promise<{ authority: FileAuthority; created: boolean }> {
  const created = !(await exists(join(dir, authorityFolder)))
  if (created) await createAuthority(dir, terms)
  return { authority: await readAuthority(join(dir, authorityFolder), terms.nowMs), created }
}

async function createAuthority(
  dir: string,
  { notBeforeMs, notAfterMs }: { notBeforeMs: number; notAfterMs: number },
): Promise<void> {
  const terms = () => ({ notBeforeMs, notAfterMs, serial: randomBytes(serialSizeBytes) })
  // The number keeps the roots of two clusters apart where people see only their names.
  const label = randomBytes(4).toString('hex')
  const serverCa = await makeCertificateAuthority(`starling server CA ${label}`, terms())
  const clientCa = await makeCertificateAuthority(`starling client CA ${label}`, terms())
  await writeFolder(dir, authorityFolder, {
    'server-ca.crt': { text: serverCa.certPem, secret: false },
    'server-ca.key': { text: serverCa.keyPem, secret: true },
    'client-ca.crt': { text: clientCa.certPem, secret: false },
    'client-ca.key': { text: clientCa.keyPem, secret: true },
    psk: { text: formatKeyring([makePsk(randomBytes(minPskSizeBytes))]), secret: true },
  })
}

async function readAuthority(dir: string, nowMs: number): Promise<FileAuthority> {
  const server = await readCa(dir, 'server', nowMs)
  const client = await readCa(dir, 'client', nowMs)
  const psk = await readTrustText(join(dir, 'psk'), { what: 'the PSK of the cluster', secret: true })
  parseKeyring(psk.text, psk.file)
  return {
    serverCa: server.pair,
    clientCa: client.pair,
    psk: psk.text,
    notAfterMs: Math.min(server.notAfterMs, client.notAfterMs),
  }
}

async function readCa(
  dir: string,
  kind: 'server' | 'client',
  nowMs: number,
): Promise<{ pair: KeyPair; notAfterMs: number }> {
  const cert = await readTrustText(join(dir, `${kind}-ca.crt`), { what: `the ${kind} CA`, secret: false })
  const key = await readTrustText(join(dir, `${kind}-ca.key`), { what: `the ${kind} CA's key`, secret: true })
  checkCaBundle(cert)
  const issuer = readCertificates(cert.text)[0] as X509Certificate
  const fail = (code: 'CERTIFICATE_MISMATCH' | 'CERTIFICATE_EXPIRED', message: string, hint: string) =>
    new StarlingError(code, `the ${kind} CA ${JSON.stringify(subjectOf(issuer))} ${message}`, {
      hint,
      position: { file: cert.file },
    })
  if (!matches(issuer, key.text, key.file)) {
    throw fail('CERTIFICATE_MISMATCH', `does not belong to the key ${key.file}`, 'restore the right one')
  }
  const notAfterMs = issuer.validToDate.getTime()
  if (nowMs >= notAfterMs || nowMs < issuer.validFromDate.getTime()) {
    const period = `is valid from ${issuer.validFromDate.toISOString()} to ${issuer.validToDate.toISOString()}`
    throw fail('CERTIFICATE_EXPIRED', period, 'set the clock, or make a new set in another folder')
  }
  return { pair: { certPem: cert.text, keyPem: key.text }, notAfterMs }
}

function matches(issuer: X509Certificate, keyPem: string, file: string): boolean {
  try {
    return issuer.checkPrivateKey(createPrivateKey(keyPem))
  } catch (cause) {
    throw new StarlingError('TRUST_FILE_INVALID', 'the key cannot be read', {
      hint: 'expected a key in PEM without a passphrase',
      position: { file },
      cause,
    })
  }
}
