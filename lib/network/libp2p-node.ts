import type { GossipSub, GossipSubComponents } from '@chainsafe/libp2p-gossipsub'
import { identify } from '@libp2p/identify'
import type { ConnectionProtector, Ed25519PrivateKey, Libp2p } from '@libp2p/interface'
import { yamux } from '@libp2p/yamux'
import { createLibp2p, type Libp2pOptions } from 'libp2p'
import { type InboundPolicy, limitedTcp } from './limited-tcp.ts'
import type { ListenerFactory } from './listeners.ts'

/** What of libp2p's inside we use ourselves. */
export interface NodeParts extends GossipSubComponents {
  readonly transportManager: ListenerFactory
}

export interface NodeOptions {
  readonly privateKey: Ed25519PrivateKey
  readonly protector: () => ConnectionProtector
  readonly encrypter: NonNullable<Libp2pOptions['connectionEncrypters']>[number]
  readonly inbound: InboundPolicy
  readonly gossip: (components: GossipSubComponents) => GossipSub
  readonly maxConnections: number
}

export interface ClusterNode {
  readonly libp2p: Libp2p
  readonly pubsub: GossipSub
  readonly parts: NodeParts
}

/** Our own limits stand in front of libp2p's, which refuse without a word. */
const noLimit = 1_000_000

/**
 * A libp2p node, not started and without a listener, that does nothing on its own account: no discovery, no relay, no
 * routing, no monitor, no redial.
 */
export async function createNode(options: NodeOptions): Promise<ClusterNode> {
  let parts: NodeParts | undefined
  const libp2p = await createLibp2p({
    start: false,
    privateKey: options.privateKey,
    nodeInfo: { name: 'starling', version: '1', userAgent: 'starling' },
    addresses: { listen: [] },
    transports: [limitedTcp(options.inbound, options.protector())],
    connectionProtector: options.protector,
    connectionEncrypters: [options.encrypter],
    streamMuxers: [
      yamux({
        // Keeps idle connections from running into the socket's timeout of two minutes.
        enableKeepAlive: true,
        keepAliveInterval: 45_000,
        maxInboundStreams: 256,
        maxOutboundStreams: 256,
        maxEarlyStreams: 32,
        streamOptions: { maxStreamWindowSize: 2 ** 20, maxReadBufferLength: 2 * 2 ** 20 },
      }),
    ],
    connectionGater: { denyDialMultiaddr: () => false },
    connectionMonitor: { enabled: false },
    connectionManager: {
      // A margin, so that the pruner never chooses for us.
      maxConnections: options.maxConnections + 64,
      inboundConnectionThreshold: noLimit,
      maxIncomingPendingConnections: noLimit,
      maxParallelDials: 32,
      maxDialQueueLength: 256,
      maxPeerAddrsToDial: 8,
      // With the handshake, which takes seconds between nodes that have to wait for their cores.
      addressDialTimeout: 6_000,
      addressSorter: () => 0,
      inboundUpgradeTimeout: 8_000,
      inboundStreamProtocolNegotiationTimeout: 5_000,
      outboundStreamProtocolNegotiationTimeout: 5_000,
      reconnectRetries: 0,
      resolvers: {},
    },
    services: {
      // Gossipsub learns from it which peers speak its protocol.
      identify: identify({ timeout: 5_000, maxInboundStreams: 2, maxOutboundStreams: 2 }),
      pubsub: options.gossip,
      parts: (components: NodeParts) => {
        parts = components
        return {}
      },
    },
  })
  if (parts === undefined) throw new Error('libp2p made no components')
  return { libp2p, pubsub: libp2p.services.pubsub, parts }
}
