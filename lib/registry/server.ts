import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server, type ServerOptions } from 'node:https'
import { Server as NetServer, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { systemErrorCode } from '../core/errors.ts'
import { HostRates } from '../core/host-rates.ts'
import type { Endpoint } from '../core/peer.ts'
import type { Clock, Logger, Metrics } from '../core/ports.ts'
import { bindAddress, needsIpv6Only } from './bind-address.ts'
import { ClientIdentities, type ClientVerdict } from './client-identity.ts'
import { Connections } from './connections.ts'
import { lingeringEnd } from './lingering-end.ts'
import type { RegistryCredentials, RegistryLimits } from './messages.ts'
import { errorBody } from './oci-error.ts'
import { RateBlockList } from './rate-block-list.ts'

export type RequestListener = (
  request: IncomingMessage,
  response: ServerResponse,
  client: ClientVerdict,
) => Promise<void>

export interface RegistryServerOptions {
  readonly credentials: RegistryCredentials
  readonly limits: RegistryLimits
  readonly onRequest: RequestListener
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

const maxHeaderSizeBytes = 16_384
const headersTimeoutMs = 10_000
const requestTimeoutMs = 30_000
const keepAliveTimeoutMs = 60_000
/** What strangers do must not fill the log; the metric counts all of it. */
const refusalLogIntervalMs = 1000
const maxRequestsPerConnection = 10_000
/** Bytes that wait for a client before a transfer pauses: fewer, larger steps cost less. */
const writeBufferSizeBytes = 128 * 2 ** 10
/** More arrivals than a listener holds; without an end a flood could keep it open. */
const maxAcceptTurns = 1024
/** Body of a request that nobody reads; beyond it the connection is given up. */
const maxIgnoredBodySizeBytes = 2 ** 20

/** One HTTPS listener for each address; all ask for a client certificate and hand each request to the same listener. */
export class RegistryServer {
  readonly #options: RegistryServerOptions
  readonly #identities: ClientIdentities
  readonly #servers: Server[] = []
  readonly #connections: Connections
  #arrivals = 0
  readonly #rates: HostRates
  #credentials: RegistryCredentials
  /** By message. */
  readonly #refusalLoggedMs = new Map<string, number>()

  constructor(options: RegistryServerOptions) {
    this.#options = options
    this.#credentials = options.credentials
    this.#connections = new Connections(() => options.clock.monotonicMs())
    this.#rates = new HostRates(options.limits, options.clock)
    this.#identities = new ClientIdentities(options.credentials, () => options.clock.wallMs())
  }

  /** Binds all addresses, or none. @throws StarlingError PORT_IN_USE */
  async listen(endpoints: readonly Endpoint[], options: { reusePort: boolean }): Promise<Endpoint[]> {
    try {
      const bound: Endpoint[] = []
      for (const endpoint of endpoints) {
        const server = this.#createServer()
        this.#servers.push(server)
        bound.push(
          await bindAddress(server, endpoint, { ...options, ipv6Only: needsIpv6Only(endpoint, endpoints) }),
        )
      }
      return bound
    } catch (error) {
      this.closeAll()
      throw error
    }
  }

  /** New connections use the new certificates at once; kept ones are judged by the new CA at their next request. */
  setCredentials(credentials: RegistryCredentials): void {
    this.#credentials = credentials
    this.#identities.setTrust(credentials)
    for (const server of this.#servers) server.setSecureContext(secureContextOf(credentials))
  }

  /**
   * Accepts what has arrived and nothing after that, and ends each connection once nothing is owed to it. Resolves when nothing is
   * owed to any.
   */
  async retire(): Promise<void> {
    await this.#acceptArrived()
    // The `close` of an HTTP server destroys connections whose last answer has not left the process yet.
    for (const server of this.#servers) NetServer.prototype.close.call(server)
    await this.#connections.end()
  }

  /** Cuts what is left. */
  closeAll(): void {
    for (const server of this.#servers) {
      server.close()
      server.closeAllConnections()
    }
  }

  /** The kernel resets those that wait when a listener closes; each turn of the loop takes one from each listener. */
  async #acceptArrived(): Promise<void> {
    for (let turns = 0, quiet = 0; turns < maxAcceptTurns && quiet < 2; turns++) {
      const before = this.#arrivals
      await new Promise((resolve) => setImmediate(resolve))
      quiet = this.#arrivals === before ? quiet + 1 : 0
    }
  }

  #createServer(): Server {
    const { limits, metrics } = this.#options
    const options: ServerOptions = {
      ...secureContextOf(this.#credentials),
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: headersTimeoutMs,
      maxHeaderSize: maxHeaderSizeBytes,
      headersTimeout: headersTimeoutMs,
      requestTimeout: requestTimeoutMs,
      keepAliveTimeout: keepAliveTimeoutMs,
      connectionsCheckingInterval: 5000,
      noDelay: true,
      highWaterMark: writeBufferSizeBytes,
      blockList: new RateBlockList((host) => this.#isTooFast(host)),
    }
    const server = createServer(options, (request, response) => this.#accept(request, response))
    server.maxConnections = limits.maxConnections
    server.maxRequestsPerSocket = maxRequestsPerConnection
    server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) =>
      this.#accept(request, response),
    )
    server.on('connection', () => {
      this.#arrivals++
      this.#connections.accepted()
    })
    server.on('secureConnection', (socket) => {
      this.#connections.established(socket)
      if (socket.remoteAddress !== undefined) this.#rates.met(socket.remoteAddress)
    })
    server.on('drop', () => {
      this.#arrivals++
      metrics.count('starling_registry_connections_dropped_total')
    })
    server.on('tlsClientError', (error, socket) => this.#handshakeFailed(error, socket))
    server.on('clientError', (error, socket) => this.#malformed(error, socket as Socket))
    return server
  }

  #isTooFast(host: string): boolean {
    const reason = this.#rates.refusal(host)
    if (reason === undefined) return false
    this.#options.metrics.count('starling_registry_connections_refused_total', { reason })
    this.#logRefusal({ remote: host, reason }, 'a connection was refused: too many new ones')
    return true
  }

  #handshakeFailed(error: Error, socket: TLSSocket): void {
    this.#connections.failed()
    const reason = handshakeReason(error, socket)
    this.#options.metrics.count('starling_registry_handshakes_refused_total', { reason })
    const detail = socket.authorizationError ? String(socket.authorizationError) : error.message
    const fields = { remote: socket.remoteAddress, reason, error: detail }
    this.#logRefusal(fields, 'a client was refused by TLS')
  }

  #logRefusal(fields: object, message: string): void {
    const nowMs = this.#options.clock.monotonicMs()
    if (nowMs - (this.#refusalLoggedMs.get(message) ?? Number.NEGATIVE_INFINITY) < refusalLogIntervalMs)
      return
    this.#refusalLoggedMs.set(message, nowMs)
    this.#options.log.warn(fields, message)
  }

  #malformed(error: Error, socket: Socket): void {
    if (!this.#connections.isEstablished(socket)) {
      // A failed handshake, which comes here too.
      socket.destroy()
      return
    }
    const code = systemErrorCode(error)
    this.#options.metrics.count('starling_registry_malformed_requests_total')
    if (code === 'ECONNRESET' || code === 'ERR_HTTP_REQUEST_TIMEOUT' || !socket.writable) {
      socket.destroy()
      return
    }
    const overflow = code === 'HPE_HEADER_OVERFLOW'
    const body = errorBody({
      status: 400,
      code: 'UNSUPPORTED',
      message: overflow
        ? `the head of the request is larger than ${maxHeaderSizeBytes} bytes`
        : 'that is not an HTTP request',
    })
    const status = overflow ? '431 Request Header Fields Too Large' : '400 Bad Request'
    socket.write(
      `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-type: application/json\r\n` +
        `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    )
    lingeringEnd(socket)
  }

  #accept(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    const serve = () => this.#serve(request, response)
    if (this.#connections.enqueue(socket, this.#options.limits.maxPipelined, serve)) ignoreBody(request)
    else socket.destroy()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request
    if (socket.destroyed || socket.writableEnded) {
      response.destroy()
      return
    }
    const closed = new Promise<void>((resolve) => response.once('close', resolve))
    const client = this.#identities.check(socket as TLSSocket)
    await this.#options.onRequest(request, response, client)
    await closed
  }
}

function ignoreBody(request: IncomingMessage): void {
  let bytes = 0
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > maxIgnoredBodySizeBytes) request.socket.destroy()
  })
}

function secureContextOf(credentials: RegistryCredentials) {
  return {
    ca: credentials.clientCaPem,
    cert: credentials.serving.certPem,
    key: credentials.serving.keyPem,
    ticketKeys: Buffer.from(credentials.ticketKeys),
    minVersion: 'TLSv1.2',
    sessionIdContext: 'starling-registry',
  } as const
}

function handshakeReason(error: Error, socket: TLSSocket): string {
  // Node has verified it, and says of the end only that the connection broke.
  if (socket.authorizationError) return 'certificate'
  const code = systemErrorCode(error) ?? ''
  if (code.includes('PEER_DID_NOT_RETURN_A_CERTIFICATE')) return 'no-certificate'
  if (code === 'ECONNRESET' || code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return 'broken-off'
  if (code.startsWith('ERR_SSL_')) return 'protocol'
  return 'certificate'
}
