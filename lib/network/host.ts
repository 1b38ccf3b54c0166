import type { Connection } from '@libp2p/interface'
import type { PeerConnection, PeerConnector } from '../core/cluster.ts'
import type { Credentials } from '../core/credentials.ts'
import { describeError } from '../core/errors.ts'
import type {
  AttestationRegistry,
  BroadcastBus,
  PeerRpc,
  RpcOptions,
  RpcProtocol,
} from '../core/messaging.ts'
import { type Endpoint, formatEndpoint } from '../core/peer.ts'
import type { PeerId } from '../core/peer-id.ts'
import type { Clock, Logger, Metrics, Service } from '../core/ports.ts'
import { Bus, type BusListener } from './bus.ts'
import { clusterEncrypter } from './cluster-encrypter.ts'
import { connectionProtector } from './connection-protector.ts'
import { type ConnectionListener, peerIdOf } from './connection-table.ts'
import { Connector } from './connector.ts'
import { forgetAbsentPeers } from './forget-peers.ts'
import { repairGossipStream, repairGossipStreams } from './gossip-repair.ts'
import { toLibp2pKey } from './identity-key.ts'
import { defaultInboundLimits, InboundLimiter, type InboundLimits } from './inbound-limiter.ts'
import { type ClusterNode, createNode } from './libp2p-node.ts'
import { openListeners } from './listeners.ts'
import { describeAddress, toEndpoint } from './multiaddrs.ts'
import { Refusals } from './refusals.ts'
import { Rpc } from './rpc.ts'
import { defaultRpcLimits, type RpcLimits } from './rpc-limits.ts'
import type { RpcAnswer } from './rpc-server.ts'

const defaultMaintenanceIntervalMs = 5_000
/** Peers that are gone are forgotten once a minute. */
const roundsPerSweep = 12
const stopTimeoutMs = 3_000

export interface HostOptions {
  readonly credentials: Credentials
  readonly attestations: AttestationRegistry
  /** TCP endpoints; none: this node only dials. Port 0 lets the system choose. */
  readonly listen: readonly Endpoint[]
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  readonly inboundLimits?: Partial<InboundLimits>
  readonly rpcLimits?: Partial<RpcLimits>
  /** How long a connection may take to show the PSK. */
  readonly pskTimeoutMs?: number
  /** How long two connections to one peer may live side by side before the older one is closed. */
  readonly duplicateGraceMs?: number
  /** How often broken gossip streams are opened again. */
  readonly maintenanceIntervalMs?: number
}

/** All that nodes say to each other over TCP, behind the three gates of DESIGN §7. */
export interface ClusterHost extends Service, PeerRpc, PeerConnector, BroadcastBus {
  /** The endpoints that are bound, with their real ports; empty before `start`. */
  listening(): readonly Endpoint[]
}

/** A host over libp2p. `start` throws StarlingError PORT_IN_USE where an endpoint is taken. */
export function createHost(options: HostOptions): ClusterHost {
  return new Libp2pHost(options)
}

class Libp2pHost implements ClusterHost {
  readonly #options: HostOptions
  readonly #refusals: Refusals
  readonly #connector: Connector
  readonly #rpc: Rpc
  readonly #bus: Bus
  readonly #limiter: InboundLimiter
  readonly #limits: InboundLimits
  #node: ClusterNode | undefined
  #rounds = 0
  #timer: NodeJS.Timeout | undefined
  #listening: readonly Endpoint[] = []
  #starting: Promise<void> | undefined

  constructor(options: HostOptions) {
    const { logger, metrics, clock } = options
    this.#options = options
    this.#limits = { ...defaultInboundLimits, ...options.inboundLimits }
    this.#refusals = new Refusals({ logger, metrics, clock })
    const { duplicateGraceMs } = options
    this.#connector = new Connector({
      self: options.credentials.current().peerId,
      logger,
      metrics,
      ...(duplicateGraceMs === undefined ? {} : { duplicateGraceMs }),
    })
    this.#rpc = new Rpc({ limits: { ...defaultRpcLimits, ...options.rpcLimits }, logger, metrics, clock })
    this.#bus = new Bus({ logger, metrics, clock })
    this.#limiter = new InboundLimiter({
      limits: this.#limits,
      clock,
      refusals: this.#refusals,
      open: () => this.#connector.table.size,
    })
  }

  async start(): Promise<void> {
    if (this.#node !== undefined) return
    this.#starting ??= this.#start().finally(() => {
      this.#starting = undefined
    })
    await this.#starting
  }

  async #start(): Promise<void> {
    const { credentials, attestations, clock, logger } = this.#options
    const refusals = this.#refusals
    const timeout = this.#options.pskTimeoutMs === undefined ? {} : { timeoutMs: this.#options.pskTimeoutMs }
    const node = await createNode({
      privateKey: toLibp2pKey(credentials.current().identityPrivateKey),
      protector: connectionProtector({ credentials, refusals, ...timeout }),
      encrypter: clusterEncrypter({ credentials, attestations, clock, refusals }),
      inbound: this.#limiter,
      gossip: this.#bus.service(),
      maxConnections: this.#limits.maxConnections,
    })
    this.#node = node
    try {
      node.libp2p.addEventListener('connection:open', this.#onOpen)
      this.#connector.attach(node.libp2p)
      node.libp2p.addEventListener('connection:close', ({ detail }) => this.#onClosed(node, detail))
      await node.libp2p.start()
      await this.#rpc.attach({
        handle: (protocol, handler, limits) => node.libp2p.handle(protocol, handler, limits),
        connectionTo: (peer, signal) => this.#connector.connectionTo(peer, signal),
      })
      this.#bus.attach(node.pubsub)
      this.#listening = await openListeners(node.parts.transportManager, this.#options.listen)
    } catch (error) {
      await this.#stop()
      throw error
    }
    const { maintenanceIntervalMs = defaultMaintenanceIntervalMs } = this.#options
    this.#timer = setInterval(() => this.#maintain(node), maintenanceIntervalMs).unref()
    logger.info({ listen: this.#listening.map(formatEndpoint) }, 'p2p host started')
  }

  async stop(): Promise<void> {
    // A start that fails has tidied up itself.
    await this.#starting?.catch(() => {})
    await this.#stop()
  }

  async #stop(): Promise<void> {
    const node = this.#node
    if (node === undefined) return
    this.#node = undefined
    clearInterval(this.#timer)
    this.#listening = []
    this.#bus.detach()
    this.#rpc.stop()
    // A peer that reads nothing must not hold the stop up.
    const cutOff = setTimeout(() => {
      for (const connection of node.libp2p.getConnections())
        connection.abort(new Error('this node is stopping'))
    }, stopTimeoutMs)
    try {
      await node.libp2p.stop()
    } catch (error) {
      this.#options.logger.warn({ error: describeError(error) }, 'p2p host did not stop cleanly')
    } finally {
      clearTimeout(cutOff)
      this.#connector.detach()
    }
  }

  listening(): readonly Endpoint[] {
    return this.#listening
  }

  request(
    peer: PeerId,
    protocol: RpcProtocol,
    frame: Uint8Array,
    options: RpcOptions,
  ): Promise<Uint8Array[]> {
    return this.#rpc.request(peer, protocol, frame, options)
  }

  handle(protocol: RpcProtocol, answer: RpcAnswer): void {
    this.#rpc.handle(protocol, answer)
  }

  connect(endpoint: Endpoint, timeoutMs: number): Promise<PeerId> {
    return this.#connector.connect(endpoint, timeoutMs)
  }

  connectPeer(peerId: PeerId, endpoints: readonly Endpoint[], timeoutMs: number): Promise<void> {
    return this.#connector.connectPeer(peerId, endpoints, timeoutMs)
  }

  setAddressBook(addressesOf: (peerId: PeerId) => readonly Endpoint[]): void {
    this.#connector.setAddressBook(addressesOf)
  }

  disconnect(peerId: PeerId, minAgeMs = 0): Promise<void> {
    const openedUntilMs = minAgeMs === 0 ? Number.POSITIVE_INFINITY : this.#options.clock.wallMs() - minAgeMs
    return this.#connector.disconnect(peerId, openedUntilMs)
  }

  connections(): readonly PeerConnection[] {
    return this.#connector.connections()
  }

  onConnection(listener: ConnectionListener): () => void {
    return this.#connector.onConnection(listener)
  }

  join(registry: string): void {
    this.#bus.join(registry)
  }

  leave(registry: string): void {
    this.#bus.leave(registry)
  }

  publish(registry: string, message: Uint8Array): Promise<void> {
    return this.#bus.publish(registry, message)
  }

  onMessage(listener: BusListener): void {
    this.#bus.onMessage(listener)
  }

  readonly #onOpen = (event: CustomEvent<Connection>): void => {
    const { direction, remoteAddr } = event.detail
    const host = toEndpoint(remoteAddr)?.host
    if (host !== undefined) this.#limiter.met(host)
    if (direction === 'inbound') this.#limiter.admitted(describeAddress(remoteAddr))
  }

  /** Gossip ran on the connection that was opened first, which is the one to go when there are two. */
  #onClosed({ pubsub, parts }: ClusterNode, connection: Connection): void {
    repairGossipStream(pubsub, parts.registrar, this.#connector.table, peerIdOf(connection)).catch(
      (error: unknown) => {
        this.#options.logger.debug({ error: describeError(error) }, 'a gossip stream was not opened again')
      },
    )
  }

  async #maintain({ libp2p, pubsub, parts }: ClusterNode): Promise<void> {
    const { clock, logger, credentials, attestations } = this.#options
    const { table } = this.#connector
    try {
      for (const peer of [...table.peers()].filter((peerId) => !attestations.isAttested(peerId))) {
        logger.warn({ peer }, 'p2p connection closed: the peer is not attested any more')
        await this.#connector.disconnect(peer)
      }
      const repaired = await repairGossipStreams(pubsub, parts.registrar, table, clock.wallMs())
      if (repaired > 0) logger.debug({ repaired }, 'gossip streams opened again')
      if (++this.#rounds % roundsPerSweep > 0) return
      await forgetAbsentPeers(libp2p.peerStore, credentials.current().peerId, (peerId) => table.has(peerId))
    } catch (error) {
      logger.warn({ error: describeError(error) }, 'p2p maintenance failed')
    }
  }
}
