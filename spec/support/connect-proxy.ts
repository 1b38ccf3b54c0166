import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'

export interface ConnectProxyOptions {
  /** IP address to listen on. */
  readonly address: string
  /** Where each `host:port` that may be asked for really is, as `address:port`. */
  readonly routes: Readonly<Record<string, string>>
}

/** A forward proxy for `HTTPS_PROXY` (RFC 9110 §9.3.6, CONNECT): it gives names that no resolver knows an address. */
export interface ConnectProxy extends AsyncDisposable {
  /** `http://address:port` */
  readonly url: string
  /** Every `host:port` that was asked for, in order. */
  readonly asked: readonly string[]
}

export async function startConnectProxy(options: ConnectProxyOptions): Promise<ConnectProxy> {
  const { address, routes } = options
  const asked: string[] = []
  const sockets = new Set<Socket>()
  const server: Server = createServer((_request, response) => response.writeHead(405).end())
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.on('connect', (request, client) => {
    const target = request.url ?? ''
    asked.push(target)
    const [host, port] = (routes[target] ?? '').split(':')
    if (host === undefined || port === undefined) return void client.end('HTTP/1.1 403 Forbidden\r\n\r\n')
    const inner = connect(Number(port), host)
    const fail = () => client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
    inner.once('error', fail)
    inner.once('connect', () => {
      inner.off('error', fail)
      client.on('error', () => inner.destroy())
      inner.on('error', () => client.destroy())
      client.once('close', () => inner.destroy())
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      client.pipe(inner).pipe(client)
    })
  })
  server.listen(0, address)
  await once(server, 'listening')
  server.unref()
  return {
    url: `http://${address}:${(server.address() as AddressInfo).port}`,
    asked,
    async [Symbol.asyncDispose]() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
