import { randomBytes } from 'node:crypto'
import type { RemoteInfo } from 'node:dgram'
import { LRUCache } from 'lru-cache'
import type { Credentials } from '../core/credentials.ts'
import { describeError, StarlingError, systemErrorCode } from '../core/errors.ts'
import type { AttestationRegistry, DatagramTransport } from '../core/messaging.ts'
import { type Endpoint, formatEndpoint } from '../core/peer.ts'
import type { Clock, Logger, Metrics, Service } from '../core/ports.ts'
import { DatagramOpener, DatagramSealer } from '../trust/datagram-seal.ts'
import { defaultReceiveGate, ReceiveGate, type ReceiveGateOptions } from './receive-gate.ts'
import { chooseSocket } from './socket-choice.ts'
import { ThrottledLog } from './throttled-log.ts'
import { type BoundSocket, bindSocket, closeSocket } from './udp-socket.ts'

const bootSaltSizeBytes = 16
/** Datagrams that wait in one socket because the kernel takes no more. */
const maxQueuedSends = 1_024
const maxReplyRoutes = 4_096
const namedSendErrors = new Set(['ENETUNREACH', 'EHOSTUNREACH', 'EPERM', 'EMSGSIZE', 'ENOBUFS', 'EINVAL'])

export interface UdpTransportOptions {
  readonly credentials: Credentials
  readonly attestations: AttestationRegistry
  /** One socket for each. */
  readonly listen: readonly Endpoint[]
  /** False: nothing is bound, `available` is false (TCP-only mode). */
  readonly enabled?: boolean
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  readonly receiveGate?: Partial<ReceiveGateOptions>
}

export interface UdpTransport extends DatagramTransport, Service {
  /** The endpoints that are bound, with their real ports. */
  listening(): readonly Endpoint[]
}

type Listener = Parameters<DatagramTransport['onDatagram']>[0]

/** Sealed and signed datagrams over UDP. `start` throws StarlingError PORT_IN_USE where a port is taken. */
export function createUdpTransport(options: UdpTransportOptions): UdpTransport {
  return new SealedUdpTransport(options)
}

class SealedUdpTransport implements UdpTransport {
  readonly #options: UdpTransportOptions
  readonly #log: ThrottledLog
  readonly #gate: ReceiveGate
  readonly #opener: DatagramOpener
  readonly #sealer: DatagramSealer
  /** Which socket heard an address last: answers leave by it, for the source address can't be chosen otherwise. */
  readonly #routes = new LRUCache<string, BoundSocket>({ max: maxReplyRoutes })
  #sockets: BoundSocket[] = []
  #listener: Listener | undefined

  constructor(options: UdpTransportOptions) {
    const { credentials, attestations, logger, clock } = options
    this.#options = options
    this.#log = new ThrottledLog(logger, clock)
    this.#gate = new ReceiveGate({ ...defaultReceiveGate, ...options.receiveGate })
    const { identityPublicKey, identityPrivateKey, peerId } = credentials.current()
    const keyring = () => credentials.current().keyring
    this.#sealer = new DatagramSealer({
      publicKey: identityPublicKey,
      privateKey: identityPrivateKey,
      keyring,
      bootSalt: randomBytes(bootSaltSizeBytes),
    })
    this.#opener = new DatagramOpener({
      keyring,
      isAttested: (sender) => attestations.isAttested(sender),
      self: peerId,
    })
  }

  async start(): Promise<void> {
    if (this.#sockets.length > 0 || this.#options.enabled === false) return
    try {
      for (const endpoint of this.#options.listen) {
        const bound = await bindSocket(endpoint)
        this.#sockets.push(bound)
        bound.socket.on('message', (bytes, source) => this.#receive(bound, bytes, source))
        bound.socket.on('error', (error) => {
          this.#log.warn('socket', 'UDP socket error', () => ({ error: describeError(error) }))
        })
      }
    } catch (error) {
      await this.stop()
      if (error instanceof StarlingError) throw error
      this.#options.logger.warn({ error: describeError(error) }, 'UDP is not available: probes run over TCP')
      return
    }
    this.#options.logger.info({ listen: this.listening().map(formatEndpoint) }, 'datagram transport started')
  }

  async stop(): Promise<void> {
    const sockets = this.#sockets
    this.#sockets = []
    this.#routes.clear()
    await Promise.all(sockets.map(closeSocket))
  }

  listening(): readonly Endpoint[] {
    return this.#sockets.map(({ endpoint }) => endpoint)
  }

  available(): boolean {
    return this.#sockets.length > 0
  }

  onDatagram(listener: Listener): void {
    this.#listener = listener
  }

  send(to: Endpoint, body: Uint8Array): void {
    const bound = this.#socketFor(to)
    if (bound === undefined || bound.socket.getSendQueueCount() >= maxQueuedSends) {
      this.#dropped(bound === undefined ? 'no-socket' : 'queue-full', to)
      return
    }
    try {
      bound.socket.send(this.#sealer.seal(body), to.port, to.host, (error) => {
        if (error !== null) this.#sendFailed(error, to)
      })
      this.#options.metrics.count('starling_datagrams_sent_total')
    } catch (error) {
      this.#sendFailed(error, to)
    }
  }

  #socketFor(to: Endpoint): BoundSocket | undefined {
    const route = this.#routes.get(formatEndpoint(to))
    if (route !== undefined) return route
    const index = chooseSocket(this.listening(), to.host)
    return index === undefined ? undefined : this.#sockets[index]
  }

  #receive(bound: BoundSocket, bytes: Uint8Array, source: RemoteInfo): void {
    const { clock, metrics, logger } = this.#options
    const replyTo: Endpoint = { host: source.address, port: source.port }
    const address = formatEndpoint(replyTo)
    const nowMs = clock.monotonicMs()
    if (!this.#gate.admits(address, nowMs)) {
      this.#refused('rate', address)
      return
    }
    const opened = this.#opener.open(bytes)
    if (!opened.ok) {
      this.#gate.bad()
      this.#refused(opened.reason, address)
      return
    }
    this.#gate.good(address, nowMs)
    this.#routes.set(address, bound)
    metrics.count('starling_datagrams_received_total')
    try {
      this.#listener?.(opened.from, opened.body, replyTo)
    } catch (error) {
      logger.error({ peer: opened.from, error: describeError(error) }, 'a datagram listener failed')
    }
  }

  #refused(reason: string, source: string): void {
    this.#options.metrics.count('starling_datagrams_refused_total', { reason })
    this.#log.warn(`refused ${reason}`, 'datagram refused', () => ({ reason, source }))
  }

  #dropped(reason: string, to: Endpoint): void {
    this.#options.metrics.count('starling_datagrams_dropped_total', { reason })
    this.#log.warn(`dropped ${reason}`, 'datagram not sent', () => ({ reason, to: formatEndpoint(to) }))
  }

  #sendFailed(error: unknown, to: Endpoint): void {
    const code = error instanceof StarlingError ? error.code : (systemErrorCode(error) ?? 'other')
    const reason = namedSendErrors.has(code) || code === 'FRAME_TOO_LARGE' ? code : 'other'
    this.#dropped(reason.toLowerCase().replaceAll('_', '-'), to)
  }
}
