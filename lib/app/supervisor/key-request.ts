import type { NodeConfig } from '../../core/config.ts'
import { formatEndpoint } from '../../core/peer.ts'
import type { KeyProof, NodeReach } from '../../supervisor/api.ts'
import { peerUriPrefix } from '../../trust/attestation.ts'
import { readIdentity } from '../../trust/identity.ts'
import { proveRequests } from '../../trust/key-proof.ts'
import { advertisedEndpoints } from '../addresses.ts'
import type { NodeKeys } from './joined-folder.ts'

/** Signing requests for the keys of a node, and the proof that its identity stands behind them. */
export async function proveKeys(keys: NodeKeys, nodeName: string): Promise<KeyProof> {
  const { peerId, publicKey, privateKey } = readIdentity(keys.identityPem)
  // The library that it needs is large, and most starts join nothing.
  const { makeSigningRequest } = await import('../../trust/signing-request.ts')
  const names = [`uri:${peerUriPrefix}${peerId}`]
  const servingRequest = await makeSigningRequest(keys.servingKeyPem, nodeName, names)
  const clientRequest = await makeSigningRequest(keys.clientKeyPem, nodeName)
  const requests = { nodeName, servingRequest, clientRequest }
  return {
    publicKey: Buffer.from(publicKey).toString('base64'),
    signature: proveRequests(requests, privateKey),
    servingRequest,
    clientRequest,
  }
}

/** Where a node is reached, by its configuration and the interfaces of the machine. */
export function reachOf({ p2p, registry }: NodeConfig): NodeReach {
  const members = advertisedEndpoints(p2p.listen, p2p.advertise)
  const all = [...members, ...advertisedEndpoints(registry.listen, [])]
  return {
    addresses: [...new Set(all.map(({ host }) => host))],
    p2p: members.filter(({ port }) => port !== 0).map(formatEndpoint),
  }
}
