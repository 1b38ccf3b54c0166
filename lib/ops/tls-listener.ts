import { constants, X509Certificate } from 'node:crypto'
import type { RequestListener } from 'node:http'
import { createServer, type Server, type ServerOptions } from 'node:https'
import { TLSSocket } from 'node:tls'
import type { CredentialSet } from '../core/credentials.ts'
import { StarlingError, systemErrorCode } from '../core/errors.ts'
import { type Endpoint, formatEndpoint } from '../core/peer.ts'
import type { Logger } from '../core/ports.ts'

/** Extended key usage "TLS client authentication" (RFC 5280 §4.2.1.12). */
const clientAuthOid = '1.3.6.1.5.5.7.3.2'
const handshakeTimeoutMs = 5000
const logEveryMs = 10_000

/** Asks for a client certificate of the client CA. No session is resumed: resumption would skip the check. */
export function tlsOptions(credentials: CredentialSet): ServerOptions {
  return {
    cert: credentials.serving.certPem,
    key: credentials.serving.keyPem,
    ca: credentials.clientCaPem,
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    secureOptions: constants.SSL_OP_NO_TICKET,
  }
}

/** Why the client at this socket is refused; undefined where it may ask, and for everybody on the Unix socket. */
export function refuseClient(socket: object): string | undefined {
  if (!(socket instanceof TLSSocket)) return undefined
  if (!socket.authorized) return 'a client certificate of the cluster is needed'
  const raw = socket.getPeerCertificate().raw as Buffer | undefined
  const usages = raw === undefined ? [] : (new X509Certificate(raw).keyUsage ?? [])
  return usages.includes(clientAuthOid) ? undefined : 'the certificate is not one for clients'
}

/** An HTTPS server for the routes; refused handshakes are logged, at most one line in ten seconds. */
export function createTlsServer(
  credentials: CredentialSet,
  http: ServerOptions,
  handler: RequestListener,
  log: Logger,
): Server {
  const server = createServer(
    { ...http, ...tlsOptions(credentials), handshakeTimeout: handshakeTimeoutMs },
    handler,
  )
  let refused = 0
  let loggedMs = Number.NEGATIVE_INFINITY
  server.on('tlsClientError', (error, socket) => {
    refused += 1
    socket.destroy()
    if (performance.now() - loggedMs < logEveryMs) return
    loggedMs = performance.now()
    log.warn(
      { refused, remote: socket.remoteAddress, reason: systemErrorCode(error) ?? error.message },
      'a client of the ops API could not prove itself',
    )
  })
  return server
}

/** @throws StarlingError PORT_IN_USE, OPS_SOCKET_FAILED */
export async function listenOnTcp(server: Server, endpoint: Endpoint): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: endpoint.host, port: endpoint.port }, () => {
      server.off('error', reject)
      resolve()
    })
  }).catch((error: unknown) => {
    const where = formatEndpoint(endpoint)
    const code = systemErrorCode(error)
    if (code === 'EADDRINUSE') {
      throw new StarlingError('PORT_IN_USE', `ops.listen ${where} is already taken`, {
        hint: 'stop what uses it or set another ops.listen',
        cause: error,
      })
    }
    const hint =
      code === 'EACCES' ? 'ports below 1024 need root' : 'set ops.listen to an address of this machine'
    throw new StarlingError('OPS_SOCKET_FAILED', `ops.listen ${where} cannot be opened (${code ?? error})`, {
      hint,
      cause: error,
    })
  })
}
