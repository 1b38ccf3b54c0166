import type { Connection, Stream } from '@libp2p/interface'
import { describeError, StarlingError } from '../core/errors.ts'
import type { PeerRpc, RpcOptions, RpcProtocol } from '../core/messaging.ts'
import type { PeerId } from '../core/peer-id.ts'
import type { Clock, Logger, Metrics } from '../core/ports.ts'
import { within } from './deadline.ts'
import { readAllFrames } from './frame-stream.ts'
import { encodeFrame } from './frames.ts'
import { InFlight, type RpcLimits } from './rpc-limits.ts'
import { type RpcAnswer, RpcServer } from './rpc-server.ts'

/** What `Rpc` needs of the libp2p node. */
export interface RpcTransport {
  handle(
    protocol: string,
    handler: (stream: Stream, connection: Connection) => Promise<void>,
    limits: { maxInboundStreams: number; maxOutboundStreams: number },
  ): Promise<void>
  /** An open connection, dialled when there is none. @throws StarlingError PEER_UNREACHABLE, ATTESTATION_REFUSED */
  connectionTo(peer: PeerId, signal: AbortSignal): Promise<Connection>
}

/** `PeerRpc` over libp2p streams, a stream for each request. */
export class Rpc implements PeerRpc {
  readonly #limits: RpcLimits
  readonly #logger: Logger
  readonly #metrics: Metrics
  readonly #server: RpcServer
  readonly #answers = new Map<RpcProtocol, RpcAnswer>()
  readonly #inFlight: InFlight<PeerId>
  #transport: RpcTransport | undefined

  constructor(options: { limits: RpcLimits; logger: Logger; metrics: Metrics; clock: Clock }) {
    this.#limits = options.limits
    this.#logger = options.logger
    this.#metrics = options.metrics
    this.#server = new RpcServer(options)
    this.#inFlight = new InFlight(options.limits.maxOutbound, options.limits.maxOutboundPerPeer)
  }

  /** Begins to serve and to ask over `transport`. */
  async attach(transport: RpcTransport): Promise<void> {
    this.#transport = transport
    await Promise.all([...this.#answers.keys()].map((protocol) => this.#register(transport, protocol)))
  }

  stop(): void {
    this.#transport = undefined
    this.#server.stop()
  }

  handle(protocol: RpcProtocol, answer: RpcAnswer): void {
    const known = this.#answers.has(protocol)
    this.#answers.set(protocol, answer)
    if (known || this.#transport === undefined) return
    this.#register(this.#transport, protocol).catch((error: unknown) => {
      this.#logger.error({ protocol, error: describeError(error) }, 'cannot serve a protocol')
    })
  }

  async request(
    peer: PeerId,
    protocol: RpcProtocol,
    frame: Uint8Array,
    options: RpcOptions,
  ): Promise<Uint8Array[]> {
    if (frame.length > this.#limits.maxRequestSizeBytes) {
      throw new StarlingError('FRAME_TOO_LARGE', `a request of ${frame.length} bytes`)
    }
    const leave = this.#inFlight.enter(peer)
    if (leave === undefined) throw unreachable(peer, 'too many requests are in flight')
    try {
      const answer = await within(options.timeoutMs, [], (signal) =>
        this.#exchange(peer, protocol, frame, options, signal),
      )
      this.#metrics.count('starling_rpc_requests_total', { protocol, side: 'client' })
      return answer
    } catch (error) {
      this.#metrics.count('starling_rpc_failures_total', { protocol })
      throw error
    } finally {
      leave()
    }
  }

  async #exchange(
    peer: PeerId,
    protocol: RpcProtocol,
    frame: Uint8Array,
    options: RpcOptions,
    signal: AbortSignal,
  ): Promise<Uint8Array[]> {
    let stream: Stream | undefined
    try {
      stream = await this.#openStream(peer, protocol, signal)
      const answer = readAllFrames(stream, {
        maxFrameSizeBytes: this.#limits.maxAnswerFrameSizeBytes,
        maxTotalSizeBytes: options.maxAnswerSizeBytes,
        signal,
      })
      // Sending may fail first; a failed half-close tells less than the answer, or its absence.
      answer.catch(() => {})
      stream.send(encodeFrame(frame))
      stream.close({ signal }).catch(() => {})
      return await answer
    } catch (error) {
      stream?.abort(error instanceof Error ? error : new Error(String(error)))
      if (error instanceof StarlingError) throw error
      if (signal.aborted) throw unreachable(peer, `no answer within ${options.timeoutMs} ms`, error)
      if (error instanceof Error && error.name === 'UnsupportedProtocolError') {
        throw unreachable(peer, `it does not speak ${protocol}`, error)
      }
      throw unreachable(peer, describeError(error), error)
    }
  }

  /** A kept connection may turn out to be closed at the moment it is used: then a fresh one is dialled, once. */
  async #openStream(peer: PeerId, protocol: RpcProtocol, signal: AbortSignal): Promise<Stream> {
    for (let attempt = 1; ; attempt++) {
      if (this.#transport === undefined) throw unreachable(peer, 'this node is not started')
      const connection = await this.#transport.connectionTo(peer, signal)
      try {
        return await connection.newStream([protocol], {
          signal,
          maxOutboundStreams: this.#limits.maxOutboundPerPeer,
        })
      } catch (error) {
        if (attempt > 1 || connection.status === 'open' || signal.aborted) throw error
      }
    }
  }

  #register(transport: RpcTransport, protocol: RpcProtocol): Promise<void> {
    return transport.handle(
      protocol,
      async (stream, connection) => {
        const answer = this.#answers.get(protocol)
        if (answer !== undefined) await this.#server.serve(protocol, answer, stream, connection)
      },
      // One more than we answer, so that it is we who refuse, count and log the surplus.
      {
        maxInboundStreams: this.#limits.maxInboundPerPeer * 4,
        maxOutboundStreams: this.#limits.maxOutboundPerPeer,
      },
    )
  }
}

function unreachable(peer: PeerId, why: string, cause?: unknown): StarlingError {
  return new StarlingError('PEER_UNREACHABLE', `peer ${peer} cannot be asked: ${why}`, { cause })
}
