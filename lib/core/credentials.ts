import type { KeyObject } from 'node:crypto'
import type { PeerId } from './peer-id.ts'
import type { Subscribable } from './ports.ts'

/** A certificate chain with its key, PEM. */
export interface KeyPair {
  readonly certPem: string
  readonly keyPem: string
}

/** A pre-shared key of 32 bytes or more, and its id: the first 4 bytes of the SHA-256 of the key, as hex. */
export interface Psk {
  readonly id: string
  readonly key: Uint8Array
}

/** The first key is used to send; all of them are accepted. */
export type Keyring = readonly [Psk, ...Psk[]]

/** A node that must not be let in any more, whatever it shows. */
export interface Revocation {
  readonly name: string
  readonly peerId: PeerId
  /** Milliseconds since 1970. */
  readonly revokedMs: number
  /** Of the server CA (trust/revocation-list); absent where whoever says so is trusted. */
  readonly signature?: string
}

/** Everything secret or signed that a node works with, checked when it was loaded. */
export interface CredentialSet {
  readonly nodeName: string
  readonly peerId: PeerId
  /** Raw 32 bytes of the Ed25519 public key. */
  readonly identityPublicKey: Uint8Array
  readonly identityPrivateKey: KeyObject
  readonly serverCaPem: string
  readonly clientCaPem: string
  readonly serving: KeyPair
  readonly client: KeyPair
  readonly keyring: Keyring
  /** Absent: nobody is revoked. */
  readonly revocations?: readonly Revocation[]
}

export type Credentials = Subscribable<CredentialSet>
