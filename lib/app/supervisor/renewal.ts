import { X509Certificate } from 'node:crypto'
import type { KeyPair } from '../../core/credentials.ts'
import { StarlingError } from '../../core/errors.ts'
import { readCertificates } from '../../trust/certificate-chain.ts'
import { type ClusterView, isSignedBy } from '../../trust/cluster-view.ts'
import { JoinRefusedError } from '../../trust/join-refusal.ts'

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

/** Are both certificates signed by the CA that signs now? */
export function hasWantedSigners(
  { serving, client }: { readonly serving: KeyPair; readonly client: KeyPair },
  { signers, serverCaPem, clientCaPem }: ClusterView,
): boolean {
  return (
    isSignedBy(serving.certPem, serverCaPem, signers.server) &&
    isSignedBy(client.certPem, clientCaPem, signers.client)
  )
}

/** Does a server not know the certificates of this node, or this node those of a server? Then only the token helps. */
export function isLockedOut(error: unknown): boolean {
  if (error instanceof JoinRefusedError) return error.reason === 'certificate'
  return error instanceof StarlingError && error.code === 'SERVER_UNTRUSTED'
}
