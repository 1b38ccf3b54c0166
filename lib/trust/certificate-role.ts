import { readCertificateExtensions } from './certificate-extensions.ts'

/**
 * The URI that only certificates of servers carry. Every node has a certificate of the same CA, so that the CA alone
 * would let any of them pose as a server; and with it a server may be reached under any address.
 */
export const serverRoleUri = 'starling-role:server'

/** Is this (DER) the certificate of a server? False too where it is malformed. */
export function isServerCertificate(der: Uint8Array): boolean {
  try {
    return readCertificateExtensions(der).uris.includes(serverRoleUri)
  } catch {
    return false
  }
}
