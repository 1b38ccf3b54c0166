import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http'
import type { Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { Credentials } from '../core/credentials.ts'
import { StarlingError } from '../core/errors.ts'
import type { AdminActions, NodeView } from '../core/ops-view.ts'
import { type Endpoint, formatEndpoint } from '../core/peer.ts'
import type { Logger, Service } from '../core/ports.ts'
import { createRoutes } from './routes.ts'
import { createTlsServer, listenOnTcp, refuseClient, tlsOptions } from './tls-listener.ts'
import { listenOnUnixSocket } from './unix-socket.ts'

export interface OpsServerOptions {
  readonly view: NodeView
  /** Path of the Unix socket. */
  readonly socket: string
  /** The same API over TCP, for clients with a certificate of the client CA. */
  readonly listen?: Endpoint | undefined
  /** Needed where `listen` is given. */
  readonly credentials?: Credentials | undefined
  /** What changes something: on the Unix socket alone. */
  readonly admin?: AdminActions | undefined
  readonly log: Logger
}

export interface OpsServer extends Service {
  /** The TCP address that is listened on, with the port that the system chose for port 0. */
  address(): Endpoint | undefined
}

const maxConnections = 64
const stopGraceMs = 1000

const httpOptions: ServerOptions = {
  maxHeaderSize: 16_384,
  headersTimeout: 5000,
  requestTimeout: 10_000,
  keepAliveTimeout: 5000,
  connectionsCheckingInterval: 2000,
}

/** Serves a `NodeView` to the command line, to Prometheus and to probes. */
export function createOpsServer(options: OpsServerOptions): OpsServer {
  const { log, listen, credentials } = options
  let handler: RequestListener | undefined
  const routes = createRoutes({
    view: options.view,
    admin: options.admin ?? {},
    log,
    refuse: refuseClient,
    createServer: (given) => {
      handler = given
      return createServer(httpOptions, given)
    },
  })
  const sockets = new Set<Socket>()
  const running: Server[] = []
  let tls: TlsServer | undefined
  let unsubscribe: (() => void) | undefined

  function adopt(server: Server): void {
    server.maxConnections = maxConnections
    server.on('connection', (socket: Socket) => {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    })
    running.push(server)
  }

  async function startTls(endpoint: Endpoint): Promise<void> {
    if (credentials === undefined || handler === undefined) {
      throw new StarlingError('INTERNAL', 'ops.listen needs credentials')
    }
    const server = createTlsServer(credentials.current(), httpOptions, handler, log)
    adopt(server)
    await listenOnTcp(server, endpoint)
    tls = server
    unsubscribe = credentials.subscribe((next) => {
      server.setSecureContext(tlsOptions(next))
      // Who was let in by the old certificates must show itself again.
      server.closeAllConnections()
    })
  }

  async function close(server: Server): Promise<void> {
    if (!server.listening) return
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    server.closeIdleConnections()
    const timer = setTimeout(() => {
      for (const socket of sockets) socket.destroy()
    }, stopGraceMs)
    await closed
    clearTimeout(timer)
  }

  async function stop(): Promise<void> {
    unsubscribe?.()
    unsubscribe = undefined
    await Promise.all(running.splice(0).map(close))
    tls = undefined
    await routes.close()
  }

  function address(): Endpoint | undefined {
    const bound = tls?.address()
    return typeof bound === 'object' && bound !== null ? { host: bound.address, port: bound.port } : undefined
  }

  return {
    address,
    stop,
    async start() {
      try {
        await routes.ready()
        adopt(routes.server)
        await listenOnUnixSocket(routes.server, options.socket)
        if (listen !== undefined) await startTls(listen)
      } catch (error) {
        await stop()
        throw error
      }
      const bound = address()
      log.info(
        { socket: options.socket, ...(bound === undefined ? {} : { listen: formatEndpoint(bound) }) },
        'the ops API listens',
      )
    },
  }
}
