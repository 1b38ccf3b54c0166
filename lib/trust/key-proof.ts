import { hash, type KeyObject, sign, verify } from 'node:crypto'
import { ed25519PublicKey } from './key-signature.ts'

const context = 'starling/1/join'

/** What a node signs with its identity, so that nobody can have a certificate for the PeerId of somebody else. */
export interface ProvedRequests {
  readonly nodeName: string
  /** PKCS#10 in PEM, as they are sent. */
  readonly servingRequest: string
  readonly clientRequest: string
}

/** The signature of the identity (Ed25519) over the name and both requests, base64. */
export function proveRequests(requests: ProvedRequests, identity: KeyObject): string {
  return sign(null, messageOf(requests), identity).toString('base64')
}

/** Has this identity (32 bytes) signed for the requests? */
export function verifyRequests(requests: ProvedRequests, publicKey: Uint8Array, signature: string): boolean {
  try {
    return verify(null, messageOf(requests), ed25519PublicKey(publicKey), Buffer.from(signature, 'base64'))
  } catch {
    return false
  }
}

function messageOf({ nodeName, servingRequest, clientRequest }: ProvedRequests): Buffer {
  const parts = [
    context,
    nodeName,
    hash('sha256', servingRequest, 'hex'),
    hash('sha256', clientRequest, 'hex'),
  ]
  return Buffer.from(parts.join('\0'))
}
