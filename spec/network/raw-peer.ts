import type { TestContext } from 'node:test'
import { gossipsub, StrictNoSign } from '@chainsafe/libp2p-gossipsub'
import type { Connection, Stream } from '@libp2p/interface'
import { clusterEncrypter } from '../../lib/network/cluster-encrypter.ts'
import { connectionProtector } from '../../lib/network/connection-protector.ts'
import { toLibp2pKey } from '../../lib/network/identity-key.ts'
import { type ClusterNode, createNode } from '../../lib/network/libp2p-node.ts'
import { toMultiaddr } from '../../lib/network/multiaddrs.ts'
import { Refusals } from '../../lib/network/refusals.ts'
import { makeTestCredentials, type TestAuthority } from '../support/test-trust.ts'
import { constantCredentials, MemoryAttestations, Recorder, systemClock, type TestHost } from './test-host.ts'

/** A member of the cluster that does with its streams as it likes. */
export interface RawPeer {
  readonly node: ClusterNode
  connect(to: TestHost, options?: { force: boolean }): Promise<Connection>
  open(to: TestHost, protocol: string): Promise<Stream>
}

export async function startRawPeer(
  t: Pick<TestContext, 'after'>,
  authority: TestAuthority,
): Promise<RawPeer> {
  const set = await makeTestCredentials('raw', { authority })
  const recorder = new Recorder()
  const credentials = constantCredentials(set)
  const refusals = new Refusals({ logger: recorder, metrics: recorder, clock: systemClock })
  const attestations = new MemoryAttestations(set)
  const node = await createNode({
    privateKey: toLibp2pKey(set.identityPrivateKey),
    protector: connectionProtector({ credentials, refusals }),
    encrypter: clusterEncrypter({ credentials, attestations, clock: systemClock, refusals }),
    inbound: { isTooFast: () => false, denies: () => false },
    gossip: gossipsub({ globalSignaturePolicy: StrictNoSign, allowPublishToZeroTopicPeers: true }),
    maxConnections: 100,
  })
  t.after(() => node.libp2p.stop())
  await node.libp2p.start()
  const connect: RawPeer['connect'] = (to, options = { force: false }) =>
    node.libp2p.dial(toMultiaddr(to.endpoint), options)
  return {
    node,
    connect,
    open: async (to, protocol) => (await connect(to)).newStream([protocol]),
  }
}
