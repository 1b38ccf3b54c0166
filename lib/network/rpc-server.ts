import type { Connection, Stream } from '@libp2p/interface'
import { describeError, StarlingError } from '../core/errors.ts'
import type { PeerRpc, RpcProtocol } from '../core/messaging.ts'
import type { PeerId } from '../core/peer-id.ts'
import type { Clock, Logger, Metrics } from '../core/ports.ts'
import { within } from './deadline.ts'
import { readFirstFrame } from './frame-stream.ts'
import { encodeEnd, encodeFrame } from './frames.ts'
import { InFlight, type RpcLimits } from './rpc-limits.ts'
import { isOver, whenDrained } from './stream-flow.ts'
import { ThrottledLog } from './throttled-log.ts'

export type RpcAnswer = Parameters<PeerRpc['handle']>[1]

type Refusal = 'busy' | 'silent' | 'too-large' | 'stalled' | 'failed'

/** The answering side of `PeerRpc`: one request frame in, answer frames and an end mark out. */
export class RpcServer {
  readonly #limits: RpcLimits
  readonly #metrics: Metrics
  readonly #log: ThrottledLog
  readonly #inFlight: InFlight<string>
  readonly #stopping = new AbortController()

  constructor(options: { limits: RpcLimits; logger: Logger; metrics: Metrics; clock: Clock }) {
    this.#limits = options.limits
    this.#metrics = options.metrics
    this.#log = new ThrottledLog(options.logger, options.clock)
    this.#inFlight = new InFlight(options.limits.maxInbound, options.limits.maxInboundPerPeer)
  }

  stop(): void {
    this.#stopping.abort(new Error('this node is stopping'))
  }

  /** Serves one stream to its end; never throws. */
  async serve(
    protocol: RpcProtocol,
    answer: RpcAnswer,
    stream: Stream,
    connection: Connection,
  ): Promise<void> {
    const peerId = connection.remotePeer.toString() as PeerId
    const leave = this.#inFlight.enter(peerId)
    if (leave === undefined) {
      this.#refuse(protocol, peerId, 'busy')
      stream.abort(new Error('too many requests in flight'))
      return
    }
    let phase: Refusal = 'silent'
    try {
      const maxFrameSizeBytes = this.#limits.maxRequestSizeBytes
      const frame = await this.#within(this.#limits.requestTimeoutMs, (signal) =>
        readFirstFrame(stream, { maxFrameSizeBytes, signal }),
      )
      this.#metrics.count('starling_rpc_requests_total', { protocol, side: 'server' })
      phase = 'failed'
      for await (const part of answer(peerId, frame)) {
        if (part.length > this.#limits.maxAnswerFrameSizeBytes) {
          throw new StarlingError('FRAME_TOO_LARGE', `an answer frame of ${part.length} bytes`)
        }
        stream.send(encodeFrame(part))
        if (stream.writeBufferLength > this.#limits.maxBufferedBytes) {
          phase = 'stalled'
          await this.#within(this.#limits.stallTimeoutMs, (signal) =>
            whenDrained(stream, this.#limits.maxBufferedBytes, signal),
          )
          phase = 'failed'
        }
      }
      stream.send(encodeEnd())
      phase = 'stalled'
      await this.#within(this.#limits.stallTimeoutMs, (signal) => stream.close({ signal }))
    } catch (error) {
      const tooLarge = error instanceof StarlingError && error.code === 'FRAME_TOO_LARGE'
      // A requester that gave up, and our own stop, are nothing to tell.
      if (tooLarge || !(isOver(stream) || this.#stopping.signal.aborted)) {
        this.#refuse(protocol, peerId, tooLarge ? 'too-large' : phase, error)
      }
      stream.abort(error instanceof Error ? error : new Error(String(error)))
    } finally {
      leave()
    }
  }

  #within<T>(timeoutMs: number, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return within(timeoutMs, [this.#stopping.signal], run)
  }

  #refuse(protocol: RpcProtocol, peerId: PeerId, reason: Refusal, error?: unknown): void {
    this.#metrics.count('starling_rpc_refused_total', { protocol, reason })
    this.#log.warn(`${protocol} ${reason}`, 'request of a peer not answered', () => ({
      protocol,
      reason,
      peer: peerId,
      ...(error === undefined ? {} : { error: describeError(error) }),
    }))
  }
}
