import { hash } from 'node:crypto'
import {
  type GossipSub,
  type GossipSubComponents,
  type GossipsubOpts,
  gossipsub,
  type Message,
  StrictNoSign,
  TopicValidatorResult,
} from '@chainsafe/libp2p-gossipsub'
import type { PeerId as Libp2pPeerId } from '@libp2p/interface'
import { describeError, StarlingError } from '../core/errors.ts'
import type { BroadcastBus, BroadcastVerdict } from '../core/messaging.ts'
import type { PeerId } from '../core/peer-id.ts'
import type { Clock, Logger, Metrics } from '../core/ports.ts'
import { BusScoring } from './bus-scoring.ts'
import { ThrottledLog } from './throttled-log.ts'

const topicPrefix = '/starling/1/'
/** Most bytes of one broadcast message. */
export const maxBroadcastSizeBytes = 64 * 1024
/** One gossipsub frame: what a neighbour asked for after a gap comes as one. */
const maxRpcSizeBytes = 4 * 2 ** 20
const maxOutboundBufferBytes = 8 * 2 ** 20
const messageIdSizeBytes = 20

export type MetricsRegister = NonNullable<GossipsubOpts['metricsRegister']>
export type BusListener = Parameters<BroadcastBus['onMessage']>[0]

const results: Readonly<Record<BroadcastVerdict, TopicValidatorResult>> = {
  accept: TopicValidatorResult.Accept,
  ignore: TopicValidatorResult.Ignore,
  reject: TopicValidatorResult.Reject,
}

/**
 * `BroadcastBus` over gossipsub. Messages are not signed by gossipsub (StrictNoSign): each delta carries its origin's
 * signature already, all neighbours are attested, and a second signature would cost 160 µs a message and hop. A message
 * is known by the hash of its topic and data, so a copy is a copy whoever sends it.
 */
export class Bus implements BroadcastBus {
  readonly #metrics: Metrics
  readonly #log: ThrottledLog
  readonly #logger: Logger
  readonly #scoring: BusScoring
  readonly #joined = new Set<string>()
  #listener: BusListener | undefined
  #pubsub: GossipSub | undefined

  constructor(options: { logger: Logger; metrics: Metrics; clock: Clock }) {
    this.#metrics = options.metrics
    this.#logger = options.logger
    this.#log = new ThrottledLog(options.logger, options.clock)
    this.#scoring = new BusScoring(options.clock)
  }

  /**
   * The libp2p service.
   * @param metricsRegister takes gossipsub's own figures of its messages; none are kept without
   */
  service(metricsRegister?: MetricsRegister): (components: GossipSubComponents) => GossipSub {
    return gossipsub({
      ...(metricsRegister === undefined ? {} : { metricsRegister, metricsTopicStrToLabel: new Map() }),
      globalSignaturePolicy: StrictNoSign,
      msgIdFn: messageId,
      fallbackToFloodsub: false,
      // Our own messages go to all connected mirrors of the registry: one hop for most of a small cluster.
      floodPublish: true,
      batchPublish: true,
      allowPublishToZeroTopicPeers: true,
      ignoreDuplicatePublishError: true,
      emitSelf: false,
      doPX: false,
      tagMeshPeers: false,
      maxInboundStreams: 4,
      maxOutboundStreams: 4,
      maxInboundDataLength: maxRpcSizeBytes,
      maxOutboundBufferSize: maxOutboundBufferBytes,
      gossipsubIWantFollowupMs: 10_000,
      // What is too large, or of a registry that is not mirrored here, is dropped before anything is kept of it.
      dataTransform: {
        inboundTransform: (topic, data) => this.#admit(topic, data),
        outboundTransform: (_topic, data) => data,
      },
      scoreParams: {
        topics: {},
        IPColocationFactorWeight: 0,
        behaviourPenaltyWeight: 0,
        appSpecificWeight: 10,
        appSpecificScore: (peer) => this.#scoring.score(peer),
        retainScore: 60_000,
      },
    })
  }

  /** Begins to use the service, started by then. */
  attach(pubsub: GossipSub): void {
    this.#pubsub = pubsub
    for (const registry of this.#joined) this.#subscribe(pubsub, registry)
  }

  detach(): void {
    this.#pubsub = undefined
  }

  join(registry: string): void {
    if (this.#joined.has(registry)) return
    this.#joined.add(registry)
    if (this.#pubsub !== undefined) this.#subscribe(this.#pubsub, registry)
  }

  leave(registry: string): void {
    if (!this.#joined.delete(registry)) return
    const topic = topicOf(registry)
    this.#pubsub?.unsubscribe(topic)
    this.#pubsub?.topicValidators.delete(topic)
  }

  /** @throws StarlingError FRAME_TOO_LARGE */
  async publish(registry: string, message: Uint8Array): Promise<void> {
    if (message.length > maxBroadcastSizeBytes) {
      throw new StarlingError('FRAME_TOO_LARGE', `a broadcast message of ${message.length} bytes`)
    }
    if (this.#pubsub === undefined || !this.#joined.has(registry)) return
    await this.#pubsub.publish(topicOf(registry), message)
    this.#metrics.count('starling_broadcast_published_total')
  }

  onMessage(listener: BusListener): void {
    this.#listener = listener
  }

  #subscribe(pubsub: GossipSub, registry: string): void {
    const topic = topicOf(registry)
    pubsub.topicValidators.set(topic, (from, message) => this.#judge(registry, from, message))
    pubsub.subscribe(topic)
  }

  #judge(registry: string, from: Libp2pPeerId, message: Message): TopicValidatorResult {
    const peer = from.toString()
    let verdict: BroadcastVerdict = 'ignore'
    try {
      verdict = this.#listener?.(registry, peer as PeerId, message.data) ?? 'ignore'
    } catch (error) {
      this.#logger.error({ registry, peer, error: describeError(error) }, 'a broadcast listener failed')
    }
    this.#metrics.count('starling_broadcast_received_total', { verdict })
    if (verdict === 'reject') this.#rejected(peer, 'content')
    return results[verdict]
  }

  #admit(topic: string, data: Uint8Array): Uint8Array {
    const registry = topic.startsWith(topicPrefix) ? topic.slice(topicPrefix.length) : undefined
    const why = data.length > maxBroadcastSizeBytes ? 'too-large' : 'not-joined'
    if (why === 'too-large' || registry === undefined || !this.#joined.has(registry)) {
      this.#metrics.count('starling_broadcast_dropped_total', { reason: why })
      throw new Error(why)
    }
    return data
  }

  #rejected(peer: string, reason: string): void {
    this.#scoring.strike(peer)
    this.#log.warn(reason, 'broadcast message rejected: no honest node sends it', () => ({ peer, reason }))
  }
}

export function topicOf(registry: string): string {
  return topicPrefix + registry
}

function messageId(message: Message): Uint8Array {
  const topic = Buffer.from(`${message.topic}\0`)
  return hash('sha256', Buffer.concat([topic, message.data]), 'buffer').subarray(0, messageIdSizeBytes)
}
