import { randomBytes, X509Certificate } from 'node:crypto'
import { type PeerId, peerIdFromPublicKey, publicKeySizeBytes } from '../../core/peer-id.ts'
import type { Clock } from '../../core/ports.ts'
import type { KeyProof } from '../../supervisor/api.ts'
import { peerUriPrefix } from '../../trust/attestation.ts'
import {
  type CertificateTerms,
  certifyClient,
  certifyServing,
  serialSizeBytes,
  servingHosts,
} from '../../trust/certificates.ts'
import type { AuthorityEntry } from '../../trust/cluster-state.ts'
import { JoinRefusedError } from '../../trust/join-refusal.ts'
import { verifyRequests } from '../../trust/key-proof.ts'
import { backdateMs } from '../../trust/revocation-list.ts'
import { checkSigningRequest } from '../../trust/signing-request.ts'

/** How long what is issued now is valid: never longer than the CA itself. */
export function termsOf(caPem: string, lifetimeMs: number, clock: Clock): CertificateTerms {
  const nowMs = clock.wallMs()
  const notAfterMs = Math.min(nowMs + lifetimeMs, new X509Certificate(caPem).validToDate.getTime())
  const notBeforeMs = nowMs - Math.min(backdateMs, lifetimeMs / 10)
  return { notBeforeMs, notAfterMs, serial: randomBytes(serialSizeBytes) }
}

/** The PeerId of the identity that has signed for the requests. @throws JoinRefusedError `identity` */
export function provedPeerId(nodeName: string, proof: KeyProof): PeerId {
  const publicKey = Buffer.from(proof.publicKey, 'base64')
  const { servingRequest, clientRequest, signature } = proof
  const requests = { nodeName, servingRequest, clientRequest }
  if (publicKey.length !== publicKeySizeBytes || !verifyRequests(requests, publicKey, signature)) {
    throw new JoinRefusedError('identity', 'the identity has not signed for the requests')
  }
  return peerIdFromPublicKey(publicKey)
}

/**
 * Issues both certificates of a node for the keys of its requests, with no name but those given.
 * @throws JoinRefusedError for what is wrong with a request
 */
export async function issueForNode(
  authority: AuthorityEntry,
  node: { readonly name: string; readonly peerId: PeerId; readonly addresses: readonly string[] },
  proof: KeyProof,
  { lifetimeMs, clock }: { readonly lifetimeMs: number; readonly clock: Clock },
): Promise<{ servingCertificate: string; clientCertificate: string }> {
  const { name, peerId, addresses } = node
  const subject = { nodeName: name, peerId, addresses }
  const hosts = servingHosts(subject).flatMap((host) => [`dns:${host}`, `ip:${host}`])
  const allowed = new Set([...hosts, `uri:${peerUriPrefix}${peerId}`])
  const servingKey = await checkSigningRequest(proof.servingRequest, { nodeName: name, allowed })
  const clientKey = await checkSigningRequest(proof.clientRequest, { nodeName: name, allowed: new Set() })
  const { serverCa, clientCa } = authority
  const terms = (caPem: string) => termsOf(caPem, lifetimeMs, clock)
  return {
    servingCertificate: await certifyServing(serverCa, subject, servingKey, terms(serverCa.certPem)),
    clientCertificate: await certifyClient(clientCa, name, clientKey, terms(clientCa.certPem)),
  }
}
