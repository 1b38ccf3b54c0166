import { createSocket } from 'node:dgram'
import { request } from 'node:https'
import { connect, createServer } from 'node:net'
import { describeError, systemErrorCode } from '../../core/errors.ts'
import type { Endpoint } from '../../core/peer.ts'

const timeoutMs = 3000

/** The system error code of an attempt to listen; undefined where it worked. The port is free again afterwards. */
export function bindError({ host, port }: Endpoint, transport: 'TCP' | 'UDP'): Promise<string | undefined> {
  return new Promise((resolve) => {
    const fail = (error: unknown) => resolve(systemErrorCode(error) ?? describeError(error))
    if (transport === 'TCP') {
      const server = createServer().once('error', fail)
      server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)))
      return
    }
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4').once('error', (error) => {
      socket.close()
      fail(error)
    })
    socket.bind({ address: host, port, exclusive: true }, () => socket.close(() => resolve(undefined)))
  })
}

/** Why a TCP port can't be reached, in a few words; undefined where it can. */
export function connectProblem(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs })
    const end = (problem: string | undefined) => {
      socket.destroy()
      resolve(problem === undefined ? undefined : `${host}:${port} ${problem}`)
    }
    socket.once('connect', () => end(undefined))
    socket.once('timeout', () => end('does not answer'))
    socket.once('error', (error) => end(reasons[systemErrorCode(error) ?? ''] ?? describeError(error)))
  })
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refuses connections',
  EHOSTUNREACH: 'is unreachable',
  ENETUNREACH: 'is unreachable',
  ENOTFOUND: 'is no known name',
  ETIMEDOUT: 'does not answer',
}

export interface RegistryProbe {
  readonly problem: string | undefined
  /** Its clock minus ours, to a second. */
  readonly skewMs: number | undefined
}

/** Asks a peer's registry for `/v2/` with the client certificate of this node, and reads its clock off the answer. */
export function probeRegistry(
  target: { readonly host: string; readonly port: number; readonly name: string },
  tls: { readonly ca: string; readonly cert: string; readonly key: string },
): Promise<RegistryProbe> {
  const { host, port, name } = target
  return new Promise((resolve) => {
    const fail = (error: unknown) => {
      const why = reasons[systemErrorCode(error) ?? ''] ?? describeError(error)
      resolve({ problem: `${host}:${port} ${why}`, skewMs: undefined })
    }
    const options = {
      ...tls,
      host,
      port,
      path: '/v2/',
      method: 'HEAD',
      agent: false,
      servername: name,
    } as const
    const outgoing = request({ ...options, signal: AbortSignal.timeout(timeoutMs) }, (response) => {
      response.resume()
      const toldMs = Date.parse(response.headers.date ?? '')
      const problem =
        response.statusCode === 200 ? undefined : `${host}:${port} answers ${response.statusCode}`
      resolve({ problem, skewMs: Number.isNaN(toldMs) ? undefined : toldMs + 500 - Date.now() })
    })
    outgoing.once('error', fail)
    outgoing.end()
  })
}

/** The `WWW-Authenticate` header with which a registry answers who says no name; undefined where nothing is heard. */
export function challengeOf(host: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const target = { path: '/v2/', method: 'GET', agent: false, rejectUnauthorized: false } as const
    const url = URL.parse(`https://${host}/v2/`)
    if (url === null) return resolve(undefined)
    // Nothing secret is sent, so whoever answers learns nothing.
    const outgoing = request(url, { ...target, signal: AbortSignal.timeout(timeoutMs) }, (response) => {
      response.destroy()
      resolve(response.headers['www-authenticate'])
    })
    outgoing.once('error', () => resolve(undefined))
    outgoing.end()
  })
}
