import { request } from 'node:http'
import type { RegistrySummary } from '../core/cluster.ts'
import { StarlingError, systemErrorCode } from '../core/errors.ts'
import type {
  DrainView,
  ImageView,
  PeerView,
  ReadyView,
  RequestView,
  StatusView,
  WhereView,
} from '../core/ops-view.ts'

const timeoutMs = 10_000
const maxAnswerSizeBytes = 64 * 1024 * 1024

/** The ops API from the other side. Everything throws StarlingError OPS_UNAVAILABLE where no node answers. */
export interface OpsClient {
  status(): Promise<StatusView>
  peers(): Promise<readonly PeerView[]>
  registries(): Promise<readonly RegistrySummary[]>
  images(): Promise<readonly ImageView[]>
  /** @throws StarlingError DIGEST_INVALID, REFERENCE_INVALID */
  where(query: string): Promise<WhereView>
  /** @throws StarlingError NOT_FOUND, USAGE */
  drainCheck(node: string): Promise<DrainView>
  /** @throws StarlingError NOT_FOUND where it is not known, or not over yet */
  request(id: string): Promise<RequestView>
  ready(): Promise<ReadyView>
  metrics(): Promise<string>
  /** Runs an action of a server. @throws StarlingError USAGE, NOT_FOUND, DISK_FULL */
  admin<T>(action: string, body?: object): Promise<T>
}

const reasons: Readonly<Record<string, readonly [why: string, hint: string]>> = {
  ENOENT: ['there is no such socket', 'is starling agent running?'],
  ECONNREFUSED: ['the process that made the socket is gone', 'is starling agent running?'],
  ENOTSOCK: ['it is no socket', 'name the right one with --socket'],
  EACCES: ['this user may not use it', 'run as root or as the user of the node'],
  ECONNRESET: ['the node broke the connection', 'look at its log'],
  ENOTDIR: ['a part of the path is not a folder', 'name the right one with --socket'],
}

/** Errors of the node that are the user's to mend. */
const passedOn = [
  'DIGEST_INVALID',
  'REFERENCE_INVALID',
  'NOT_FOUND',
  'USAGE',
  'DISK_FULL',
  'ROTATION_REFUSED',
] as const

interface Answer {
  readonly status: number
  readonly body: string
}

function unavailable(socket: string, why: string, hint: string, cause?: unknown): StarlingError {
  return new StarlingError('OPS_UNAVAILABLE', `no node answers on ${socket}: ${why}`, { hint, cause })
}

function ask(socket: string, path: string, body?: object): Promise<Answer> {
  const sent = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
  const post = {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': sent?.length ?? 0 },
  }
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => {
      const code = systemErrorCode(error) ?? ''
      const [why, hint] = reasons[code] ?? [code === '' ? String(error) : code, 'look at the log of the node']
      reject(error instanceof StarlingError ? error : unavailable(socket, why, hint, error))
    }
    const outgoing = request(
      {
        ...(sent === undefined ? {} : post),
        socketPath: socket,
        path,
        agent: false,
        signal: AbortSignal.timeout(timeoutMs),
      },
      (incoming) => {
        const chunks: Buffer[] = []
        let sizeBytes = 0
        incoming.on('data', (chunk: Buffer) => {
          sizeBytes += chunk.length
          if (sizeBytes > maxAnswerSizeBytes) {
            incoming.destroy()
            fail(unavailable(socket, 'the answer is larger than 64 MiB', 'is it the socket of a node?'))
          } else chunks.push(chunk)
        })
        incoming.once('error', fail)
        incoming.once('end', () =>
          resolve({ status: incoming.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
        )
      },
    )
    outgoing.once('error', (error) => {
      const late = error.name === 'AbortError' || error.name === 'TimeoutError'
      fail(late ? unavailable(socket, `nothing came within ${timeoutMs / 1000}s`, 'look at its log') : error)
    })
    outgoing.end(sent)
  })
}

/** A client of the node that listens on a Unix socket; each call is a connection of its own. */
export function createOpsClient(socketPath: string): OpsClient {
  function parse(answer: Answer): unknown {
    try {
      return JSON.parse(answer.body)
    } catch (cause) {
      throw unavailable(socketPath, 'what answers is no Starling', 'name the right one with --socket', cause)
    }
  }

  async function json<T>(path: string, accepted: readonly number[] = [200]): Promise<T> {
    return read(await ask(socketPath, path), accepted)
  }

  function read<T>(answer: Answer, accepted: readonly number[] = [200]): T {
    const value = parse(answer)
    if (accepted.includes(answer.status)) return value as T
    const { code, message } = (value as { error?: { code?: unknown; message?: unknown } } | null)?.error ?? {}
    const text = typeof message === 'string' ? message : `the node answered with status ${answer.status}`
    throw new StarlingError(passedOn.find((known) => known === code) ?? 'OPS_UNAVAILABLE', text)
  }

  return {
    status: () => json('/api/v1/status'),
    peers: () => json('/api/v1/peers'),
    registries: () => json('/api/v1/registries'),
    images: () => json('/api/v1/images'),
    where: (query) => json(`/api/v1/where/${encodeURIComponent(query)}`),
    drainCheck: (node) => json(`/api/v1/drain-check/${encodeURIComponent(node)}`),
    request: (id) => json(`/api/v1/requests/${encodeURIComponent(id)}`),
    ready: () => json('/readyz', [200, 503]),
    admin: async (action, body = {}) => read(await ask(socketPath, `/api/v1/admin/${action}`, body)),
    async metrics() {
      const answer = await ask(socketPath, '/api/v1/metrics')
      if (answer.status === 200) return answer.body
      throw unavailable(socketPath, `it answered with status ${answer.status}`, 'look at the log of the node')
    },
  }
}
