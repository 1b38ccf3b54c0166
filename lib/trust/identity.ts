import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { type PeerId, peerIdFromPublicKey } from '../core/peer-id.ts'
import { ed25519PublicKeyBytes } from './key-signature.ts'

/** The libp2p identity of a node. */
export interface Identity {
  readonly peerId: PeerId
  /** Raw 32 bytes. */
  readonly publicKey: Uint8Array
  readonly privateKey: KeyObject
}

/** A new identity as PKCS#8 PEM, the form of `identity.key`. */
export function makeIdentityPem(): string {
  return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
}

/** @throws Error where the text is no private key, or not one of type Ed25519 */
export function readIdentity(pem: string): Identity {
  const privateKey = createPrivateKey(pem)
  if (privateKey.asymmetricKeyType !== 'ed25519') {
    throw new Error(`its key is of type ${privateKey.asymmetricKeyType}, not Ed25519`)
  }
  const publicKey = ed25519PublicKeyBytes(createPublicKey(privateKey))
  return { peerId: peerIdFromPublicKey(publicKey), publicKey, privateKey }
}
