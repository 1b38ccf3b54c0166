import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server, type ServerOptions } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { StarlingError, systemErrorCode } from '../core/errors.ts'
import { type Endpoint, formatEndpoint } from '../core/peer.ts'
import type { Logger, Metrics } from '../core/ports.ts'
import { ClientIdentities, type ClientVerdict } from './client-identity.ts'
import { lingeringEnd } from './lingering-end.ts'
import type { RegistryCredentials, RegistryLimits } from './messages.ts'
import { errorBody, type OciFailure } from './oci-error.ts'

export type RequestListener = (
  request: IncomingMessage,
  response: ServerResponse,
  client: ClientVerdict,
) => Promise<void>

export interface RegistryServerOptions {
  readonly credentials: RegistryCredentials
  readonly limits: RegistryLimits
  readonly onRequest: RequestListener
  readonly now: () => number
  readonly log: Logger
  readonly metrics: Metrics
}

const maxHeaderSizeBytes = 16_384
const headersTimeoutMs = 10_000
const requestTimeoutMs = 30_000
const keepAliveTimeoutMs = 60_000
const maxRequestsPerConnection = 10_000
/** Body of a request that nobody reads; beyond it the connection is given up. */
const maxIgnoredBodySizeBytes = 2 ** 20

/** One HTTPS listener for each address; all ask for a client certificate and hand each request to the same listener. */
export class RegistryServer {
  readonly #options: RegistryServerOptions
  readonly #identities: ClientIdentities
  readonly #servers: Server[] = []
  readonly #waiting = new WeakMap<Socket, { count: number; last: Promise<void> }>()
  #credentials: RegistryCredentials

  constructor(options: RegistryServerOptions) {
    this.#options = options
    this.#credentials = options.credentials
    this.#identities = new ClientIdentities(options.credentials.clientCaPem, options.now)
  }

  /** Binds all addresses, or none. @throws StarlingError PORT_IN_USE */
  async listen(endpoints: readonly Endpoint[], options: { reusePort: boolean }): Promise<Endpoint[]> {
    try {
      const bound: Endpoint[] = []
      for (const endpoint of endpoints) {
        const server = this.#createServer()
        this.#servers.push(server)
        bound.push(await bind(server, endpoint, { ...options, ipv6Only: needsIpv6Only(endpoint, endpoints) }))
      }
      return bound
    } catch (error) {
      this.stopListening()
      throw error
    }
  }

  /** New connections use the new certificates at once; kept ones are judged by the new CA at their next request. */
  setCredentials(credentials: RegistryCredentials): void {
    this.#credentials = credentials
    this.#identities.setClientCa(credentials.clientCaPem)
    for (const server of this.#servers) server.setSecureContext(secureContextOf(credentials))
  }

  /** Ends idle connections; those with a request go on. */
  stopListening(): void {
    for (const server of this.#servers) {
      server.close()
      server.closeIdleConnections()
    }
  }

  /** Cuts what is left. */
  closeAll(): void {
    this.stopListening()
    for (const server of this.#servers) server.closeAllConnections()
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
    }
    const server = createServer(options, (request, response) => this.#accept(request, response))
    server.maxConnections = limits.maxConnections
    server.maxRequestsPerSocket = maxRequestsPerConnection
    server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) =>
      this.#accept(request, response),
    )
    server.on('drop', () => metrics.count('starling_registry_connections_dropped_total'))
    server.on('tlsClientError', (error, socket) => this.#handshakeFailed(error, socket))
    server.on('clientError', (error, socket) => this.#malformed(error, socket as Socket))
    return server
  }

  #handshakeFailed(error: Error, socket: TLSSocket): void {
    const { log, metrics } = this.#options
    const reason = handshakeReason(error)
    metrics.count('starling_registry_handshakes_refused_total', { reason })
    log.warn({ remote: socket.remoteAddress, reason, error: error.message }, 'a client was refused by TLS')
  }

  #malformed(error: Error, socket: Socket): void {
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

  /** Requests of one connection are served one after the other: their answers go out in that order anyway. */
  #accept(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    const state = this.#waiting.get(socket) ?? { count: 0, last: Promise.resolve() }
    this.#waiting.set(socket, state)
    if (state.count >= this.#options.limits.maxPipelined) {
      socket.destroy()
      return
    }
    state.count++
    ignoreBody(request)
    state.last = state.last.then(() => this.#serve(request, response)).finally(() => state.count--)
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

function handshakeReason(error: Error): string {
  const code = systemErrorCode(error) ?? ''
  if (code.includes('PEER_DID_NOT_RETURN_A_CERTIFICATE')) return 'no-certificate'
  if (code === 'ECONNRESET' || code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return 'broken-off'
  if (code.startsWith('ERR_SSL_')) return 'protocol'
  return 'certificate'
}

/** `::` takes IPv4 too unless told otherwise, and would collide with `0.0.0.0` on the same port. */
function needsIpv6Only(endpoint: Endpoint, all: readonly Endpoint[]): boolean {
  return (
    endpoint.host.includes(':') &&
    all.some((other) => !other.host.includes(':') && other.port === endpoint.port)
  )
}

/** Binds a server of any kind. @throws StarlingError PORT_IN_USE */
export function bind(
  server: { listen: Server['listen']; once: Server['once']; off: Server['off']; address: Server['address'] },
  endpoint: Endpoint,
  options: { reusePort: boolean; ipv6Only: boolean },
): Promise<Endpoint> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(listenError(error, endpoint))
    server.once('error', fail)
    server.listen({ host: endpoint.host, port: endpoint.port, exclusive: true, ...options }, () => {
      server.off('error', fail)
      const address = server.address() as AddressInfo
      resolve({ host: address.address, port: address.port })
    })
  })
}

function listenError(error: Error, endpoint: Endpoint): Error {
  const place = formatEndpoint(endpoint)
  const code = systemErrorCode(error)
  if (code === 'EADDRINUSE') {
    const kubernetes = endpoint.port === 6443 ? ' (a Kubernetes API server also uses 6443)' : ''
    return new StarlingError(
      'PORT_IN_USE',
      `port ${endpoint.port} of ${place} is already taken${kubernetes}`,
      {
        hint: 'stop what listens there, or set registry.listen to another address or port',
        cause: error,
      },
    )
  }
  if (code === 'EADDRNOTAVAIL' || code === 'EACCES') {
    const why = code === 'EACCES' ? 'needs more rights' : 'is not an address of this machine'
    return new StarlingError('CONFIG_INVALID', `cannot listen on ${place}: it ${why}`, {
      hint: 'set registry.listen to another address or port',
      cause: error,
    })
  }
  return error
}

export type { OciFailure }
