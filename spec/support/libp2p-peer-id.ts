import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { base58btc } from 'multiformats/bases/base58'

/** What libp2p itself takes for the PeerId of a key. */
export function peerIdOfLibp2p(publicKey: Uint8Array): string {
  return peerIdFromPublicKey(publicKeyFromRaw(publicKey)).toString()
}

/** A well-formed identity multihash of any bytes. */
export function identityMultihash(bytes: Uint8Array): string {
  return base58btc.baseEncode(Uint8Array.of(0, bytes.length, ...bytes))
}
