import { constants } from 'node:crypto'
import { createServer, type Server, type ServerOptions } from 'node:https'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { KeyPair } from '../core/credentials.ts'
import { StarlingError, systemErrorCode } from '../core/errors.ts'
import { type Endpoint, formatEndpoint } from '../core/peer.ts'
import type { Clock, Logger, Metrics, Service, Subscribable } from '../core/ports.ts'
import type { SupervisorApi } from './api.ts'
import { addressOf } from './caller.ts'
import { type ConnectionBounds, ConnectionLimits } from './connection-limits.ts'
import { createSupervisorRoutes } from './routes.ts'

/** What the endpoint shows and believes; connections that are open keep what they began with. */
export interface SupervisorTls {
  readonly serving: KeyPair
  /** Bundle of the client CA. */
  readonly clientCaPem: string
}

export interface SupervisorServerOptions {
  readonly api: SupervisorApi
  readonly listen: readonly Endpoint[]
  readonly tls: Subscribable<SupervisorTls>
  readonly bounds?: Partial<ConnectionBounds>
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

export interface SupervisorServer extends Service {
  /** What is listened on, with the ports that the system chose for port 0. */
  addresses(): readonly Endpoint[]
}

const handshakeTimeoutMs = 5_000
const logEveryMs = 10_000
/** A request comes whole within this time, however slowly its bytes drip; the answer of a watch may wait longer. */
const httpOptions: ServerOptions = {
  maxHeaderSize: 8_192,
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  keepAliveTimeout: 60_000,
  connectionsCheckingInterval: 1_000,
}
const defaultBounds: ConnectionBounds = {
  maxConnections: 16_384,
  maxStrangers: 512,
  maxStrangersPerHost: 160,
}

function tlsOptions({ serving, clientCaPem }: SupervisorTls): ServerOptions {
  return {
    cert: serving.certPem,
    key: serving.keyPem,
    ca: clientCaPem,
    requestCert: true,
    // Strangers get the CA certificates; every other route looks at the certificate itself.
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
    // Resumption would skip the check of the certificate.
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  }
}

/** HTTPS for agents and other servers. `start` throws StarlingError PORT_IN_USE, CONFIG_INVALID. */
export function createSupervisorServer(options: SupervisorServerOptions): SupervisorServer {
  const { api, clock, listen, log, metrics, tls } = options
  const limits = new ConnectionLimits({ ...defaultBounds, ...options.bounds }, clock)
  const open = new Map<string, Socket>()
  const servers: Server[] = []
  let handle: ((...args: never[]) => void) | undefined
  let unsubscribe: (() => void) | undefined
  let loggedMs = Number.NEGATIVE_INFINITY
  const routes = createSupervisorRoutes({
    api,
    log,
    metrics,
    createServer: (handler) => {
      handle = handler
      return makeServer()
    },
  })

  function refused(reason: string, remote: string): void {
    metrics.count('starling_supervisor_connections_refused_total', { reason })
    if (clock.monotonicMs() - loggedMs < logEveryMs) return
    loggedMs = clock.monotonicMs()
    log.warn({ reason, remote }, 'connections to the supervisor are refused')
  }

  function makeServer(): Server {
    const server = createServer(
      { ...httpOptions, ...tlsOptions(tls.current()), handshakeTimeout: handshakeTimeoutMs },
      handle as never,
    )
    const keyOf = (socket: Socket) => `${socket.remoteAddress}|${socket.remotePort}|${socket.localPort}`
    server.on('connection', (socket: Socket) => {
      const reason = limits.refusal(socket, addressOf(socket))
      if (reason !== undefined) {
        refused(reason, addressOf(socket))
        socket.destroy()
        return
      }
      const key = keyOf(socket)
      open.set(key, socket)
      socket.once('close', () => {
        open.delete(key)
        limits.left(socket)
      })
    })
    server.on('secureConnection', (socket: TLSSocket) => {
      const plain = open.get(keyOf(socket))
      if (socket.authorized && plain !== undefined) limits.proved(plain)
    })
    server.on('tlsClientError', (_error, socket) => {
      socket.destroy()
      metrics.count('starling_supervisor_connections_refused_total', { reason: 'handshake' })
    })
    return server
  }

  async function stop(): Promise<void> {
    unsubscribe?.()
    unsubscribe = undefined
    const closing = servers.splice(0).map(
      (server) =>
        new Promise<void>((resolve) => {
          server.close(() => resolve())
          server.closeAllConnections()
        }),
    )
    for (const socket of open.values()) socket.destroy()
    await Promise.all(closing)
    await routes.close()
  }

  return {
    stop,
    addresses: () =>
      servers.flatMap((server) => {
        const bound = server.address()
        return typeof bound === 'object' && bound !== null ? { host: bound.address, port: bound.port } : []
      }),
    async start() {
      try {
        await routes.ready()
        for (const [index, endpoint] of listen.entries()) {
          const server = index === 0 ? (routes.server as unknown as Server) : makeServer()
          await listenOn(server, endpoint)
          servers.push(server)
        }
      } catch (error) {
        await stop()
        throw error
      }
      unsubscribe = tls.subscribe((next) => {
        for (const server of servers) server.setSecureContext(tlsOptions(next))
      })
      log.info({ listen: listen.map(formatEndpoint) }, 'the supervisor listens')
    },
  }
}

async function listenOn(server: Server, endpoint: Endpoint): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: endpoint.host, port: endpoint.port, backlog: 511 }, () => {
      server.off('error', reject)
      resolve()
    })
  }).catch((cause: unknown) => {
    const where = formatEndpoint(endpoint)
    const code = systemErrorCode(cause)
    if (code === 'EADDRINUSE') {
      const hint =
        'stop what uses it (RKE2 and K3s servers use 9345 and 6443) or set another supervisor.listen'
      throw new StarlingError('PORT_IN_USE', `supervisor.listen ${where} is already taken`, { hint, cause })
    }
    throw new StarlingError('CONFIG_INVALID', `supervisor.listen ${where} cannot be opened (${code})`, {
      hint: 'set supervisor.listen to an address of this machine',
      cause,
    })
  })
}
