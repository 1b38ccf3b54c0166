import { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { Revocation } from '../core/credentials.ts'
import { isRevokedClient } from '../trust/revocation-list.ts'

/** Extended key usage "TLS client authentication" (RFC 5280 §4.2.1.12). */
const clientAuth = '1.3.6.1.5.5.7.3.2'
const maxChainLength = 5

export type ClientVerdict =
  | { readonly ok: true; readonly name: string | undefined }
  | { readonly ok: false; readonly reason: string }

/** Who may ask. */
export interface ClientTrust {
  readonly clientCaPem: string
  readonly revocations: readonly Revocation[]
}

interface Known {
  readonly generation: number
  readonly verdict: ClientVerdict
  readonly fromMs: number
  readonly toMs: number
}

/**
 * Checks the certificate of a client for every request: a resumed TLS session is not verified by the handshake, and a kept
 * connection outlives a change of the CA or the end of a certificate. What was found is kept per socket until then.
 */
export class ClientIdentities {
  readonly #known = new WeakMap<TLSSocket, Known>()
  readonly #now: () => number
  #authorities: readonly X509Certificate[]
  #revocations: readonly Revocation[]
  #generation = 0

  /** `now`: milliseconds since 1970. */
  constructor({ clientCaPem, revocations }: ClientTrust, now: () => number) {
    this.#authorities = parseBundle(clientCaPem)
    this.#revocations = revocations
    this.#now = now
  }

  setTrust({ clientCaPem, revocations }: ClientTrust): void {
    this.#authorities = parseBundle(clientCaPem)
    this.#revocations = revocations
    this.#generation++
  }

  check(socket: TLSSocket): ClientVerdict {
    let known = this.#known.get(socket)
    if (known?.generation !== this.#generation) {
      known = this.#examine(socket)
      this.#known.set(socket, known)
    }
    if (!known.verdict.ok) return known.verdict
    const now = this.#now()
    return now >= known.fromMs && now <= known.toMs
      ? known.verdict
      : { ok: false, reason: 'the client certificate is expired or not valid yet' }
  }

  #examine(socket: TLSSocket): Known {
    const refuse = (reason: string): Known => ({
      generation: this.#generation,
      verdict: { ok: false, reason },
      fromMs: 0,
      toMs: 0,
    })
    const certificate = socket.getPeerX509Certificate?.()
    if (certificate === undefined) return refuse('there is no client certificate')
    if (!(certificate.keyUsage ?? []).includes(clientAuth)) {
      return refuse('the certificate is not one for TLS clients (extended key usage clientAuth)')
    }
    if (!this.#isTrusted(certificate)) return refuse('the client CA did not sign the client certificate')
    const name = commonName(certificate)
    const fromMs = certificate.validFromDate.getTime()
    if (isRevokedClient(this.#revocations, name, fromMs)) return refuse(`the node ${name} was revoked`)
    return {
      generation: this.#generation,
      verdict: { ok: true, name },
      fromMs,
      toMs: certificate.validToDate.getTime(),
    }
  }

  #isTrusted(leaf: X509Certificate): boolean {
    let certificate: X509Certificate | undefined = leaf
    for (let depth = 0; certificate !== undefined && depth < maxChainLength; depth++) {
      const subject: X509Certificate = certificate
      if (this.#authorities.some((authority) => issued(authority, subject))) return true
      const issuer: X509Certificate | undefined = subject.issuerCertificate
      if (issuer === undefined || !issuer.ca || !issued(issuer, subject)) return false
      certificate = issuer
    }
    return false
  }
}

function issued(authority: X509Certificate, subject: X509Certificate): boolean {
  return subject.checkIssued(authority) && subject.verify(authority.publicKey)
}

export function parseBundle(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  return blocks.map((block) => new X509Certificate(block))
}

export function commonName(certificate: X509Certificate): string | undefined {
  return /^CN=(.{1,256})$/m.exec(certificate.subject)?.[1]
}
