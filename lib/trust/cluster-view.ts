import { hash, X509Certificate } from 'node:crypto'
import { readCertificates } from './certificate-chain.ts'
import { type ClusterState, embeddedRegistryOf, isRevokedServer } from './cluster-state.ts'
import type { SignedRevocation } from './revocation-list.ts'
import { type Rotation, type RotationStage, rotationOf } from './rotation.ts'
import { jsonHash } from './stable-json.ts'

/** Where an exchange of what all share stands. */
export interface RotationView {
  readonly kind: Rotation['kind']
  readonly stage: RotationStage
  /** It goes back to what was before. */
  readonly back: boolean
}

/** What every node is told, over an authenticated connection only: the keyring is in it. */
export interface ClusterView {
  readonly embeddedRegistry: boolean
  readonly serverCaPem: string
  readonly clientCaPem: string
  /** Pre-shared keys as hex, the one to send with first. */
  readonly keyring: readonly string[]
  readonly servers: readonly { readonly name: string; readonly urls: readonly string[] }[]
  readonly revocations: readonly SignedRevocation[]
  /** The rotation that is under way. */
  readonly rotation?: RotationView
  /** What certificates must be signed by now, as `signerOf` names it: a node with others has them renewed. */
  readonly signers: { readonly server: string; readonly client: string }
}

const byText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)

export function viewOf(state: ClusterState): ClusterView {
  const { serverCa, clientCa, serverCaPem, clientCaPem, keyring } = state.authority
  return {
    embeddedRegistry: embeddedRegistryOf(state),
    serverCaPem,
    clientCaPem,
    keyring,
    servers: Object.entries(state.servers)
      .filter(([name]) => !isRevokedServer(state, name))
      .map(([name, { urls }]) => ({ name, urls }))
      .sort((a, b) => byText(a.name, b.name)),
    revocations: Object.values(state.revocations)
      .map(({ name, peerId, revokedMs, signature }) => ({ name, peerId, revokedMs, signature }))
      .sort((a, b) => byText(a.peerId, b.peerId)),
    ...rotationViewOf(state),
    signers: { server: signerOf(serverCa.certPem), client: signerOf(clientCa.certPem) },
  }
}

function rotationViewOf(state: ClusterState): { readonly rotation?: RotationView } {
  const rotation = rotationOf(state)
  if (rotation === undefined) return {}
  const { kind, stage, back } = rotation
  return { rotation: { kind, stage, back } }
}

/** Names the CA of a certificate by its key: SHA-256 of the SubjectPublicKeyInfo, the first 32 hexadecimal digits. */
export function signerOf(caPem: string): string {
  const spki = new X509Certificate(caPem).publicKey.export({ type: 'spki', format: 'der' })
  return hash('sha256', spki, 'hex').slice(0, 32)
}

/** Are these the certificates that a node must have now? */
export function isSignedBy(certPem: string, bundlePem: string, signer: string): boolean {
  const certificate = new X509Certificate(certPem)
  return readCertificates(bundlePem).some(
    (ca) => certificate.verify(ca.publicKey) && signerOf(ca.toString()) === signer,
  )
}

/** Names a view: the same on every server that tells the same, so that nodes can change servers. */
export function revisionOf(view: ClusterView): string {
  return jsonHash(view).slice(0, 32)
}
