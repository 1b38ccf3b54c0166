import {
  type DatagramTransport,
  maxDatagramBodySizeBytes,
  type PeerRpc,
  rpcProtocols,
} from '../../core/messaging.ts'
import type { Member } from '../../core/peer.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Metrics } from '../../core/ports.ts'
import { decodeFlightMessage, encodeFlightMessage, type FlightMessage } from '../../flights/messages.ts'

const requestTimeoutMs = 2000
const maxInFlight = 64

export interface FlightTransportParts {
  readonly datagrams: DatagramTransport
  readonly rpc: PeerRpc
  readonly memberOf: (peerId: PeerId) => Member | undefined
  readonly metrics: Metrics
  readonly receive: (from: PeerId, message: FlightMessage) => void
}

/** Messages of flights as datagrams, or over libp2p streams where there are none; what gets lost is sent again by who needs it. */
export class FlightTransport {
  readonly #parts: FlightTransportParts
  #inFlight = 0
  /** While a request of this peer is answered: what is sent to it goes back on the stream. */
  #answering: { readonly to: PeerId; readonly bodies: Uint8Array[] } | undefined

  constructor(parts: FlightTransportParts) {
    this.#parts = parts
    parts.datagrams.onDatagram((from, body) => this.#received(from, body))
    parts.rpc.handle(rpcProtocols.flights, (from, body) => this.#answer(from, body))
  }

  send(to: PeerId, message: FlightMessage): void {
    const { datagrams, memberOf } = this.#parts
    const body = encodeFlightMessage(message)
    if (this.#answering?.to === to) {
      this.#answering.bodies.push(body)
      return
    }
    const endpoint = memberOf(to)?.record.p2p[0]
    if (endpoint === undefined) return
    if (datagrams.available()) datagrams.send(endpoint, body)
    else void this.#request(to, body)
  }

  async #request(to: PeerId, body: Uint8Array): Promise<void> {
    if (this.#inFlight >= maxInFlight) return
    this.#inFlight++
    try {
      const options = { timeoutMs: requestTimeoutMs, maxAnswerSizeBytes: 4 * maxDatagramBodySizeBytes }
      const answers = await this.#parts.rpc.request(to, rpcProtocols.flights, body, options)
      for (const answer of answers) this.#received(to, answer)
    } catch {
      // The one who waits for an answer notices that there is none.
    } finally {
      this.#inFlight--
    }
  }

  #answer(from: PeerId, body: Uint8Array): Uint8Array[] {
    const answering = { to: from, bodies: [] as Uint8Array[] }
    this.#answering = answering
    try {
      this.#received(from, body)
    } finally {
      this.#answering = undefined
    }
    return answering.bodies
  }

  #received(from: PeerId, body: Uint8Array): void {
    let message: FlightMessage | undefined
    try {
      message = decodeFlightMessage(body)
    } catch {
      message = undefined
    }
    const type = message?.type ?? 'unusable'
    this.#parts.metrics.count('starling_flight_messages_total', { type })
    if (message !== undefined) this.#parts.receive(from, message)
  }
}
