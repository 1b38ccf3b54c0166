import { X509Certificate } from 'node:crypto'
import { readCertificates } from '../../trust/certificate-chain.ts'

/**
 * When certificates are to be renewed: at two thirds of the shortest life among them, and up to a tenth of it later, so
 * that nodes that joined together don't come back together. All in milliseconds, times since 1970.
 * @param jitter in [0, 1)
 */
export function renewalDueMs(
  certPems: readonly string[],
  jitter: number,
): { readonly dueMs: number; readonly lifeMs: number; readonly endMs: number } {
  const periods = certPems.map((pem) => {
    const { validFromDate, validToDate } = new X509Certificate(pem)
    return { fromMs: validFromDate.getTime(), endMs: validToDate.getTime() }
  })
  const first = periods.reduce((a, b) => (a.endMs <= b.endMs ? a : b))
  const lifeMs = first.endMs - first.fromMs
  return { dueMs: first.fromMs + lifeMs * (2 / 3 + jitter / 10), lifeMs, endMs: first.endMs }
}

/** Is an address missing in a serving certificate, as after the machine was given another one? */
export function mustRenewNow(servingCertPem: string, addresses: readonly string[]): boolean {
  const [leaf] = readCertificates(servingCertPem)
  return leaf === undefined || addresses.some((address) => leaf.checkIP(address) === undefined)
}
