import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import type { Endpoint } from '../../lib/core/peer.ts'
import { digestOf } from './harness.ts'

/** What a peer does with a request for bytes `start` to the end of `body`. */
export type Misbehaviour = (answer: {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly body: Buffer
  readonly start: number
  /** Sends the head that an honest peer would send. */
  readonly head: (changes?: Record<string, string | number>) => void
}) => void

export interface HostilePeer extends AsyncDisposable {
  readonly endpoint: Endpoint
  /** Requests so far, and those whose connection is not closed yet. */
  readonly seen: { requests: number; open: number }
}

/** A node with right certificates that misbehaves. */
export async function startHostilePeer(
  credentials: CredentialSet,
  host: string,
  body: Buffer,
  misbehave: Misbehaviour,
  /** It misbehaves when it is asked for its chunk map too; else it has none. */
  options: { readonly maps: boolean } = { maps: false },
): Promise<HostilePeer> {
  const seen = { requests: 0, open: 0 }
  const digest = digestOf(body)
  const tls = {
    ca: credentials.clientCaPem,
    cert: credentials.serving.certPem,
    key: credentials.serving.keyPem,
    requestCert: true,
    rejectUnauthorized: true,
  }
  const server = createServer(tls, (request, response) => {
    if (!options.maps && request.url?.includes('chunk-map=1') === true) {
      response.writeHead(404, { 'content-length': 0 }).end()
      return
    }
    seen.requests++
    seen.open++
    response.once('close', () => seen.open--)
    response.on('error', () => {})
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
    const start = Number(range?.[1] ?? 0)
    const end = Math.min(range?.[2] ? Number(range[2]) : body.length - 1, body.length - 1)
    const head = (changes: Record<string, string | number> = {}): void => {
      response.writeHead(range === null ? 200 : 206, {
        'content-length': end - start + 1,
        'docker-content-digest': digest,
        ...(range === null ? {} : { 'content-range': `bytes ${start}-${end}/${body.length}` }),
        ...changes,
      })
    }
    misbehave({ request, response, body: body.subarray(0, end + 1), start, head })
  })
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  const { address, port } = server.address() as AddressInfo
  return {
    endpoint: { host: address, port },
    seen,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

function flipped(body: Buffer, index: number): Buffer {
  const copy = Buffer.from(body)
  copy[index] = (copy[index] ?? 0) ^ 1
  return copy
}

const givenBytes = 700_000

/** One way to misbehave each. */
export const misbehaviours = {
  'answers 500': ({ response }) => {
    response.writeHead(500, { 'content-length': 0 })
    response.end()
  },
  'answers 429': ({ response }) => {
    response.writeHead(429, { 'content-length': 0 })
    response.end()
  },
  'hangs before the head of its answer': () => {},
  'sends only a head': ({ response, head }) => {
    head()
    response.flushHeaders()
  },
  'closes without an answer': ({ response }) => response.destroy(),
  'names another length': ({ response, head, body, start }) => {
    head({ 'content-length': body.length - start - 1 })
    response.end(body.subarray(start, -1))
  },
  'names another digest': ({ response, head, body, start }) => {
    head({ 'docker-content-digest': digestOf(Buffer.from('other')) })
    response.end(body.subarray(start))
  },
  'names no digest': ({ response, body }) => {
    response.writeHead(200, { 'content-length': body.length })
    response.end(body)
  },
  'encodes the content': ({ response, head, body, start }) => {
    head({ 'content-encoding': 'gzip' })
    response.end(body.subarray(start))
  },
  'dies in the middle': ({ response, head, body, start }) => {
    head()
    response.write(body.subarray(start, start + givenBytes), () => response.destroy())
  },
  'ends short by FIN': ({ response, head, body, start }) => {
    head()
    response.write(body.subarray(start, start + givenBytes))
    response.socket?.end()
  },
  'stalls in the middle': ({ response, head, body, start }) => {
    head()
    response.write(body.subarray(start, start + givenBytes))
  },
  'sends a wrong byte early': ({ response, head, body, start }) => {
    head()
    response.end(flipped(body, 10).subarray(start))
  },
  'sends a wrong last byte': ({ response, head, body, start }) => {
    head()
    response.end(flipped(body, body.length - 1).subarray(start))
  },
} as const satisfies Record<string, Misbehaviour>

export type MisbehaviourName = keyof typeof misbehaviours
