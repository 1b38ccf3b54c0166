import type { DatagramTransport, PeerRpc } from '../../core/messaging.ts'
import { rpcProtocols } from '../../core/messaging.ts'
import type { Endpoint } from '../../core/peer.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Clock, Logger, Metrics } from '../../core/ports.ts'
import { decodeMessage, messageType } from '../../membership/messages.ts'
import { maxProbeAnswerSizeBytes } from './tcp-probe.ts'

const requestTimeoutMs = 2_000
const maxInFlight = 64
/** So many probes in a row must be answered over TCP alone, and no datagram be heard meanwhile. */
const blockedAfterProbes = 3
const blockedAfterMs = 15_000
/** How often datagrams are tried again where they seemed to be blocked. */
const retryMs = 60_000

export interface TransportParts {
  readonly datagrams: DatagramTransport
  readonly rpc: PeerRpc
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  readonly isConnected: (peerId: PeerId) => boolean
  readonly receive: (from: PeerId, body: Uint8Array, replyTo: Endpoint | undefined) => void
}

/** Sends membership messages as datagrams, or over libp2p streams where datagrams don't get through. */
export class MembershipTransport {
  readonly #parts: TransportParts
  #inFlight = 0
  #heardMs: number
  #tcpOnlyProbes = 0
  #blockedSinceMs: number | undefined
  #warned = false

  constructor(parts: TransportParts) {
    this.#parts = parts
    this.#heardMs = parts.clock.monotonicMs()
    parts.datagrams.onDatagram((from, body, replyTo) => {
      this.#heardMs = parts.clock.monotonicMs()
      parts.receive(from, body, replyTo)
    })
  }

  /** A probe that datagrams did not answer, but TCP did. */
  noteTcpOnlyProbe(): void {
    this.#tcpOnlyProbes++
    const nowMs = this.#parts.clock.monotonicMs()
    const isSilent = nowMs - this.#heardMs >= blockedAfterMs
    if (this.#tcpOnlyProbes >= blockedAfterProbes && isSilent) this.#blockedSinceMs ??= nowMs
  }

  /** May datagrams be used now? Warns once where they can't. */
  usesDatagrams(): boolean {
    const { datagrams, clock, logger } = this.#parts
    const nowMs = clock.monotonicMs()
    const isOver =
      this.#blockedSinceMs !== undefined &&
      (this.#heardMs > this.#blockedSinceMs || nowMs - this.#blockedSinceMs >= retryMs)
    if (isOver) {
      this.#blockedSinceMs = undefined
      this.#tcpOnlyProbes = 0
    }
    const usable = datagrams.available() && this.#blockedSinceMs === undefined
    if (!usable && !this.#warned) {
      this.#warned = true
      const reason = datagrams.available() ? 'no datagram arrives' : 'UDP is not bound'
      logger.warn({ reason }, 'membership runs over TCP alone: failures are noticed some seconds later')
    }
    return usable
  }

  send(to: PeerId, endpoint: Endpoint | undefined, body: Uint8Array): void {
    if (endpoint !== undefined && this.usesDatagrams()) this.#parts.datagrams.send(endpoint, body)
    else void this.#sendOverTcp(to, body)
  }

  async #sendOverTcp(to: PeerId, body: Uint8Array): Promise<void> {
    const { rpc, metrics, receive, isConnected } = this.#parts
    // Rumours are not worth a dial: neighbours spread them.
    if (!isConnected(to) && decodeMessage(body).type === messageType.gossip) return
    if (this.#inFlight >= maxInFlight) {
      metrics.count('starling_membership_sends_dropped_total')
      return
    }
    this.#inFlight++
    try {
      const options = { timeoutMs: requestTimeoutMs, maxAnswerSizeBytes: maxProbeAnswerSizeBytes }
      const answers = await rpc.request(to, rpcProtocols.probe, body, options)
      for (const answer of answers) receive(to, answer, undefined)
    } catch {
      // The machine notices by the missing answer.
    } finally {
      this.#inFlight--
    }
  }
}
