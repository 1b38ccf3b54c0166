import type { KeyObject } from 'node:crypto'
import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import { StarlingError } from '../core/errors.ts'

/**
 * The libp2p form of a node's identity: 32 bytes of the private key, then 32 of the public one.
 * @throws StarlingError TRUST_FILE_INVALID where the key is not Ed25519
 */
export function toLibp2pKey(key: KeyObject): Ed25519PrivateKey {
  const jwk = key.export({ format: 'jwk' })
  if (jwk.crv !== 'Ed25519' || jwk.d === undefined || jwk.x === undefined) {
    throw new StarlingError('TRUST_FILE_INVALID', 'the node identity is not an Ed25519 private key')
  }
  const raw = Buffer.concat([Buffer.from(jwk.d, 'base64url'), Buffer.from(jwk.x, 'base64url')])
  return privateKeyFromRaw(raw) as Ed25519PrivateKey
}
