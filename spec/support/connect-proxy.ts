import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

export interface ConnectProxyOptions {
  /** IP address to listen on. */
  readonly address: string
  /** Where each `host:port` that may be asked for really is, as `address:port`. */
  readonly routes: Readonly<Record<string, string>>
  /** What all connections together bring; default no bound. */
  readonly bytesPerSecond?: number
}

/** A forward proxy for `HTTPS_PROXY` (RFC 9110 §9.3.6, CONNECT): it gives names that no resolver knows an address. */
export interface ConnectProxy extends AsyncDisposable {
  /** `http://address:port` */
  readonly url: string
  /** Every `host:port` that was asked for, in order. */
  readonly asked: readonly string[]
  /** Bytes that came through for the user that a client's URL names, `http://user@…`. */
  bytesOf(user: string): number
  /** Nothing comes through until `release`. */
  hold(): void
  release(): void
  /** The connections of this user are cut, and no further one is made. */
  refuse(user: string): void
  admit(user: string): void
  /** The connections of this user are cut, and further ones go to this `address:port`, until it is admitted. */
  redirect(user: string, host: string): void
}

/** Lets bytes through at a rate that all connections share. */
class Bucket {
  readonly #bytesPerMs: number
  #freeMs = 0
  #held: Promise<void> = Promise.resolve()
  #release = (): void => {}

  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1000
  }

  hold(): void {
    this.#held = new Promise((resolve) => {
      this.#release = resolve
    })
  }

  release(): void {
    this.#release()
  }

  async take(bytes: number): Promise<void> {
    await this.#held
    const now = performance.now()
    this.#freeMs = Math.max(now, this.#freeMs) + bytes / this.#bytesPerMs
    if (this.#freeMs - now > 2) await delay(this.#freeMs - now)
  }
}

function userOf(request: IncomingMessage): string {
  const [, text = ''] = (request.headers['proxy-authorization'] ?? '').split(' ')
  return Buffer.from(text, 'base64').toString().split(':')[0] ?? ''
}

export async function startConnectProxy(options: ConnectProxyOptions): Promise<ConnectProxy> {
  const { address, routes } = options
  const asked: string[] = []
  const bytes = new Map<string, number>()
  const refused = new Set<string>()
  const redirected = new Map<string, string>()
  const byUser = new Map<string, Set<Socket>>()
  const bucket = new Bucket(options.bytesPerSecond ?? Number.POSITIVE_INFINITY)
  const sockets = new Set<Socket>()
  const server: Server = createServer((_request, response) => response.writeHead(405).end())
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.on('connect', (request, client) => {
    const target = request.url ?? ''
    const user = userOf(request)
    if (refused.has(user)) return void client.end('HTTP/1.1 403 Forbidden\r\n\r\n')
    asked.push(target)
    const [host, port] = (redirected.get(user) ?? routes[target] ?? '').split(':')
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
      const mine = byUser.get(user) ?? new Set()
      byUser.set(user, mine.add(client as Socket))
      client.once('close', () => mine.delete(client as Socket))
      client.pipe(inner)
      inner.on('data', (chunk) => {
        inner.pause()
        bytes.set(user, (bytes.get(user) ?? 0) + chunk.length)
        void bucket.take(chunk.length).then(() => {
          if (client.destroyed) return
          client.write(chunk)
          inner.resume()
        })
      })
      inner.once('end', () => client.end())
    })
  })
  const cut = (user: string): void => {
    for (const socket of byUser.get(user) ?? []) socket.destroy()
  }
  server.listen(0, address)
  await once(server, 'listening')
  server.unref()
  return {
    url: `http://${address}:${(server.address() as AddressInfo).port}`,
    asked,
    bytesOf: (user) => bytes.get(user) ?? 0,
    hold: () => bucket.hold(),
    release: () => bucket.release(),
    refuse(user) {
      refused.add(user)
      cut(user)
    },
    admit(user) {
      refused.delete(user)
      redirected.delete(user)
    },
    redirect(user, host) {
      redirected.set(user, host)
      cut(user)
    },
    async [Symbol.asyncDispose]() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
