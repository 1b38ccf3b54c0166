import type { Connection, Libp2p } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { PeerConnection, PeerConnector } from '../core/cluster.ts'
import { StarlingError } from '../core/errors.ts'
import { type Endpoint, formatEndpoint } from '../core/peer.ts'
import type { PeerId } from '../core/peer-id.ts'
import type { Logger, Metrics } from '../core/ports.ts'
import { type ConnectionListener, ConnectionTable, peerIdOf } from './connection-table.ts'
import { within } from './deadline.ts'
import { isOwnAddressError, toDialError } from './dial-errors.ts'
import { closeDuplicates } from './duplicate-connections.ts'
import { toEndpoint, toMultiaddr } from './multiaddrs.ts'

const closeTimeoutMs = 1_000
const maxEndpointsPerDial = 8
/** Two arise when both ends dial at once; more are a fault of the peer. */
const maxConnectionsPerPeer = 4
const defaultDuplicateGraceMs = 5_000

type DialNode = Pick<Libp2p, 'dial' | 'addEventListener' | 'removeEventListener'>

/** `PeerConnector` over libp2p: dials when it is told to, and knows what is connected. Who should be is membership's business. */
export class Connector implements PeerConnector {
  readonly table: ConnectionTable
  readonly #self: PeerId
  readonly #metrics: Metrics
  readonly #duplicateGraceMs: number
  #node: DialNode | undefined
  #addressesOf: (peerId: PeerId) => readonly Endpoint[] = () => []
  #duplicateTimer: NodeJS.Timeout | undefined

  /** @param options.duplicateGraceMs how long two connections to one peer may live side by side */
  constructor(options: { self: PeerId; logger: Logger; metrics: Metrics; duplicateGraceMs?: number }) {
    this.#self = options.self
    this.#duplicateGraceMs = options.duplicateGraceMs ?? defaultDuplicateGraceMs
    this.#metrics = options.metrics
    this.table = new ConnectionTable(options.logger)
  }

  attach(node: DialNode): void {
    this.#node = node
    node.addEventListener('connection:open', this.#onOpen)
    node.addEventListener('connection:close', this.#onClose)
  }

  detach(): void {
    clearTimeout(this.#duplicateTimer)
    this.#duplicateTimer = undefined
    this.#node?.removeEventListener('connection:open', this.#onOpen)
    this.#node?.removeEventListener('connection:close', this.#onClose)
    this.#node = undefined
    this.table.clear()
  }

  /** Dials an address; its PeerId is what the handshake proves. Our own address yields our own PeerId. */
  async connect(endpoint: Endpoint, timeoutMs: number): Promise<PeerId> {
    const known = this.table
      .list()
      .find(({ direction, remote }) => direction === 'outbound' && isSame(remote, endpoint))
    if (known !== undefined) return known.peerId
    try {
      const dial = (signal: AbortSignal) => this.#dial([toMultiaddr(endpoint)], signal)
      return peerIdOf(await within(timeoutMs, [], dial))
    } catch (error) {
      if (isOwnAddressError(error)) return this.#self
      throw toDialError(error, formatEndpoint(endpoint))
    }
  }

  async connectPeer(peerId: PeerId, endpoints: readonly Endpoint[], timeoutMs: number): Promise<void> {
    await within(timeoutMs, [], (signal) => this.#connectionTo(peerId, endpoints, signal))
  }

  /** An open connection to a peer, dialled at the addresses of the address book when there is none. */
  connectionTo(peerId: PeerId, signal: AbortSignal): Promise<Connection> {
    return this.#connectionTo(peerId, undefined, signal)
  }

  setAddressBook(addressesOf: (peerId: PeerId) => readonly Endpoint[]): void {
    this.#addressesOf = addressesOf
  }

  /** Closes the connections to a peer that were opened until then (Unix time in ms). */
  async disconnect(peerId: PeerId, openedUntilMs = Number.POSITIVE_INFINITY): Promise<void> {
    const old = this.table.of(peerId).filter(({ timeline }) => timeline.open <= openedUntilMs)
    await Promise.all(
      old.map(async (connection) => {
        try {
          await connection.close({ signal: AbortSignal.timeout(closeTimeoutMs) })
        } catch (error) {
          connection.abort(error instanceof Error ? error : new Error(String(error)))
        }
      }),
    )
  }

  connections(): readonly PeerConnection[] {
    return this.table.list()
  }

  onConnection(listener: ConnectionListener): () => void {
    return this.table.onConnection(listener)
  }

  async #connectionTo(
    peerId: PeerId,
    endpoints: readonly Endpoint[] | undefined,
    signal: AbortSignal,
  ): Promise<Connection> {
    const open = this.table.pick(peerId)
    if (open !== undefined) return open
    const candidates = (endpoints ?? this.#addressesOf(peerId)).slice(0, maxEndpointsPerDial)
    if (peerId === this.#self || candidates.length === 0) {
      const why = peerId === this.#self ? 'it is this node' : 'no address is known'
      throw new StarlingError('PEER_UNREACHABLE', `peer ${peerId} cannot be reached: ${why}`)
    }
    try {
      return await this.#dial(
        candidates.map((endpoint) => toMultiaddr(endpoint).encapsulate(`/p2p/${peerId}`)),
        signal,
      )
    } catch (error) {
      throw toDialError(error, `peer ${peerId} at ${candidates.map(formatEndpoint).join(', ')}`)
    }
  }

  async #dial(addresses: Multiaddr[], signal: AbortSignal): Promise<Connection> {
    if (this.#node === undefined) throw new Error('this node is not started')
    try {
      const connection = await this.#node.dial(addresses, { signal })
      this.table.add(connection)
      this.#metrics.count('starling_p2p_dials_total', { result: 'ok' })
      return connection
    } catch (error) {
      this.#metrics.count('starling_p2p_dials_total', { result: 'failed' })
      throw error
    }
  }

  readonly #onOpen = (event: CustomEvent<Connection>): void => {
    this.table.add(event.detail)
    this.#metrics.set('starling_p2p_connections', this.table.size)
    const connections = this.table.of(peerIdOf(event.detail))
    for (const surplus of connections.slice(0, -maxConnectionsPerPeer)) {
      surplus.abort(new Error('too many connections of one peer'))
    }
    if (connections.length > 1) this.#scheduleDuplicates()
  }

  readonly #onClose = (event: CustomEvent<Connection>): void => {
    this.table.remove(event.detail)
    this.#metrics.set('starling_p2p_connections', this.table.size)
  }

  #scheduleDuplicates(): void {
    this.#duplicateTimer ??= setTimeout(() => {
      this.#duplicateTimer = undefined
      closeDuplicates(this.table, this.#self)
      const left = [...this.table.peers()].some((peerId) => this.table.of(peerId).length > 1)
      if (left) this.#scheduleDuplicates()
    }, this.#duplicateGraceMs).unref()
  }
}

function isSame(a: Endpoint | undefined, b: Endpoint): boolean {
  return a !== undefined && a.port === b.port && a.host === toEndpoint(toMultiaddr(b))?.host
}
