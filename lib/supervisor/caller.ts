import { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { plainHost } from '../core/host-rates.ts'
import { clientAuthUsage, subjectOf } from '../trust/certificate-chain.ts'
import { isServerCertificate } from '../trust/certificate-role.ts'
import type { SupervisorCaller } from './api.ts'

/**
 * Who is at the other end of a TLS connection; undefined for a stranger: without a certificate, with one of another CA,
 * expired, not valid yet, or not one for clients.
 */
export function callerOf(socket: TLSSocket): SupervisorCaller | undefined {
  if (!socket.authorized) return undefined
  const raw = socket.getPeerCertificate().raw as Buffer | undefined
  if (raw === undefined) return undefined
  const certificate = new X509Certificate(raw)
  if (!(certificate.keyUsage ?? []).includes(clientAuthUsage)) return undefined
  const now = Date.now()
  // The connection may be older than the certificate's end.
  if (now > certificate.validToDate.getTime() || now < certificate.validFromDate.getTime()) return undefined
  return {
    name: subjectOf(certificate),
    server: isServerCertificate(raw),
    address: addressOf(socket),
    notBeforeMs: certificate.validFromDate.getTime(),
  }
}

export function addressOf(socket: { readonly remoteAddress?: string | undefined }): string {
  return plainHost(socket.remoteAddress ?? '')
}
