import { createPrivateKey } from 'node:crypto'
import type { CredentialSet } from '../core/credentials.ts'
import type { Attestation } from '../core/messaging.ts'
import { type PeerId, publicKeyFromPeerId } from '../core/peer-id.ts'
import { certificateOf } from './attestation.ts'
import { signWithKey, verifyWithKey } from './key-signature.ts'

/** Most bytes of a proof: the signature of an RSA key of 8192 bits. */
export const maxChannelProofSizeBytes = 1024

/** Which end of the connection the signer is. */
export type ChannelRole = 'dialer' | 'listener'

const context = Buffer.from('starling/1/channel\0')

/**
 * Proves inside a connection whose ends libp2p's TLS has shown to be `self` and `remote` that the signer holds the key
 * of its serving certificate and means this peer, in this role and direction (DESIGN §7).
 */
export function signChannelProof(
  credentials: CredentialSet,
  { self, remote, role }: { self: PeerId; remote: PeerId; role: ChannelRole },
): Uint8Array {
  return signWithKey(createPrivateKey(credentials.serving.keyPem), signedText(self, remote, role))
}

/**
 * Checks the proof of `signer` in its `role` towards `verifier` against its attestation, which must have been checked.
 * False for anything else, malformed proofs included.
 */
export function verifyChannelProof(
  attestation: Attestation,
  proof: Uint8Array,
  { signer, verifier, role }: { signer: PeerId; verifier: PeerId; role: ChannelRole },
): boolean {
  if (attestation.peerId !== signer || proof.length > maxChannelProofSizeBytes) return false
  return verifyWithKey(certificateOf(attestation).publicKey, signedText(signer, verifier, role), proof)
}

function signedText(signer: PeerId, verifier: PeerId, role: ChannelRole): Uint8Array {
  const direction = Buffer.from(`${role}\0`)
  return Buffer.concat([context, direction, publicKeyFromPeerId(signer), publicKeyFromPeerId(verifier)])
}
