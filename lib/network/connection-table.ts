import type { Connection } from '@libp2p/interface'
import type { PeerConnection } from '../core/cluster.ts'
import { describeError } from '../core/errors.ts'
import type { PeerId } from '../core/peer-id.ts'
import type { Logger } from '../core/ports.ts'
import { toEndpoint } from './multiaddrs.ts'

export type ConnectionListener = (peerId: PeerId, state: 'open' | 'closed') => void

/** The open connections by peer. Two nodes that dial each other at once have two for a while. */
export class ConnectionTable {
  readonly #logger: Logger
  readonly #byPeer = new Map<PeerId, Connection[]>()
  readonly #listeners = new Set<ConnectionListener>()

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** Number of connections, not of peers. */
  get size(): number {
    let size = 0
    for (const connections of this.#byPeer.values()) size += connections.length
    return size
  }

  add(connection: Connection): void {
    if (connection.status !== 'open') return
    const peerId = peerIdOf(connection)
    const known = this.#byPeer.get(peerId)
    if (known === undefined) this.#byPeer.set(peerId, [connection])
    else if (!known.includes(connection)) known.push(connection)
    if (known === undefined) this.#tell(peerId, 'open')
  }

  remove(connection: Connection): void {
    const peerId = peerIdOf(connection)
    const known = this.#byPeer.get(peerId)
    const index = known?.indexOf(connection) ?? -1
    if (known === undefined || index === -1) return
    known.splice(index, 1)
    if (known.length > 0) return
    this.#byPeer.delete(peerId)
    this.#tell(peerId, 'closed')
  }

  /** Forgets all of them. */
  clear(): void {
    const peers = [...this.#byPeer.keys()]
    this.#byPeer.clear()
    for (const peerId of peers) this.#tell(peerId, 'closed')
  }

  /** Open connections of a peer, the oldest first. */
  of(peerId: PeerId): readonly Connection[] {
    return (this.#byPeer.get(peerId) ?? []).filter((connection) => connection.status === 'open')
  }

  /** The connection to use: the newest, for the peer may have restarted behind an older one. */
  pick(peerId: PeerId): Connection | undefined {
    return this.of(peerId).at(-1)
  }

  peers(): IterableIterator<PeerId> {
    return this.#byPeer.keys()
  }

  has(peerId: PeerId): boolean {
    return this.#byPeer.has(peerId)
  }

  /** One entry for each connection. */
  list(): readonly PeerConnection[] {
    return [...this.#byPeer].flatMap(([peerId, connections]) =>
      connections.map((connection) => ({
        peerId,
        direction: connection.direction,
        remote: toEndpoint(connection.remoteAddr),
        openedMs: connection.timeline.open,
      })),
    )
  }

  onConnection(listener: ConnectionListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #tell(peerId: PeerId, state: 'open' | 'closed'): void {
    for (const listener of this.#listeners) {
      try {
        listener(peerId, state)
      } catch (error) {
        this.#logger.error({ peer: peerId, error: describeError(error) }, 'a connection listener failed')
      }
    }
  }
}

export function peerIdOf(connection: Connection): PeerId {
  return connection.remotePeer.toString() as PeerId
}
