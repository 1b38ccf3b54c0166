import type { DatagramTransport } from '../../core/messaging.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Clock } from '../../core/ports.ts'

const maxPeers = 16_384

/** When each peer was heard last. Bounded: who was not heard of longest goes first. */
export class HeardTimes {
  readonly #clock: Clock
  readonly #times = new Map<PeerId, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The same datagrams, and each tells when its sender was heard. */
  listenTo(datagrams: DatagramTransport): DatagramTransport {
    return {
      send: (to, body) => datagrams.send(to, body),
      available: () => datagrams.available(),
      onDatagram: (listener) =>
        datagrams.onDatagram((from, body, replyTo) => {
          this.heard(from)
          listener(from, body, replyTo)
        }),
    }
  }

  heard(peerId: PeerId): void {
    this.#times.delete(peerId)
    this.#times.set(peerId, this.#clock.monotonicMs())
    const [oldest] = this.#times.keys()
    if (this.#times.size > maxPeers && oldest !== undefined) this.#times.delete(oldest)
  }

  /** Milliseconds since then; undefined where it was not heard yet. */
  agoMs(peerId: PeerId): number | undefined {
    const atMs = this.#times.get(peerId)
    return atMs === undefined ? undefined : this.#clock.monotonicMs() - atMs
  }
}
