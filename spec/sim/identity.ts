import { createPrivateKey, createPublicKey, hash, type KeyObject } from 'node:crypto'
import { type PeerId, peerIdFromPublicKey } from '../../lib/core/peer-id.ts'

/** PKCS #8 around the 32 secret bytes of an Ed25519 key (RFC 8410 §7). */
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex')

/** An identity that depends on `seed` alone, so that equal seeds give equal runs. Its key is no secret. */
export function simIdentity(seed: string): { peerId: PeerId; privateKey: KeyObject } {
  const secret = hash('sha256', `starling simulation ${seed}`, 'buffer')
  const der = Buffer.concat([pkcs8Prefix, secret])
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const jwk = createPublicKey(privateKey).export({ format: 'jwk' })
  return { peerId: peerIdFromPublicKey(Buffer.from(jwk.x ?? '', 'base64url')), privateKey }
}
