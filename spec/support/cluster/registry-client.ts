import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { type Agent, request } from 'node:https'

/** What a client shows and believes; PEM. `cert` and `key` are left out to come without a certificate. */
export interface ClientTls {
  readonly ca: string
  readonly cert?: string
  readonly key?: string
}

export interface FetchOptions {
  readonly method?: string
  /** Value of the `Range` header behind `bytes=`: `0-9`, `100-`, `-5`. */
  readonly range?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Keeps the whole body in memory; else only bodies up to 1 MiB are kept. */
  readonly keepBody?: boolean
  /** The request is given up when nothing comes for so long. */
  readonly timeoutMs?: number
  readonly agent?: Agent
  /** Called with the number of bytes so far; may wait, which holds the server back. */
  readonly onBytes?: (bytes: number) => void | Promise<void>
  readonly tls?: ClientTls
}

export interface Fetched {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly bytes: number
  /** `sha256:…` of the bytes that came. */
  readonly digest: string
  readonly body: Buffer | undefined
  /**
   * `complete`: as long as announced. `early-fin`: the server closed properly before that, which containerd resumes.
   * `reset`: by TCP reset, which fails a pull.
   */
  readonly end: 'complete' | 'early-fin' | 'reset'
  /** Milliseconds from the request to the status line, to the first byte and to the end. */
  readonly headersMs: number
  readonly firstByteMs: number | undefined
  readonly durationMs: number
}

const keptBytes = 2 ** 20

interface Answer {
  readonly response: IncomingMessage
  readonly sawFin: () => boolean
}

function open(url: URL, tls: ClientTls, options: FetchOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let sawFin = false
    const outgoing = request(url, {
      method: options.method ?? 'GET',
      headers: {
        ...(options.range === undefined ? {} : { range: `bytes=${options.range}` }),
        ...options.headers,
      },
      agent: options.agent ?? false,
      timeout: options.timeoutMs ?? 30_000,
      ...tls,
    })
    outgoing.once('socket', (socket) => {
      const onEnd = () => {
        sawFin = true
      }
      socket.once('end', onEnd)
      outgoing.once('close', () => socket.off('end', onEnd))
    })
    outgoing.once('timeout', () => outgoing.destroy(new Error(`no byte from ${url.host} in time`)))
    outgoing.on('error', reject)
    outgoing.once('response', (response) => resolve({ response, sawFin: () => sawFin }))
    outgoing.end()
  })
}

/**
 * One request to a registry over mutual TLS, as containerd would send it; the body is hashed, and how it ended is told.
 * @throws Error where there is no answer at all: refused, TLS failure, time-out
 */
export async function fetchRegistry(url: URL, tls: ClientTls, options: FetchOptions = {}): Promise<Fetched> {
  const startedMs = performance.now()
  const since = () => performance.now() - startedMs
  const { response, sawFin } = await open(url, options.tls ?? tls, options)
  const headersMs = since()
  const hash = createHash('sha256')
  const kept: Buffer[] = []
  let bytes = 0
  let firstByteMs: number | undefined
  let broken: unknown
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      firstByteMs ??= since()
      hash.update(chunk)
      if (options.keepBody === true || bytes + chunk.length <= keptBytes) kept.push(chunk)
      bytes += chunk.length
      await options.onBytes?.(bytes)
    }
  } catch (error) {
    broken = error
  }
  if (broken !== undefined && !/aborted|ECONNRESET|premature/i.test(String(broken))) throw broken
  const keptSize = kept.reduce((sum, chunk) => sum + chunk.length, 0)
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    bytes,
    digest: `sha256:${hash.digest('hex')}`,
    body: keptSize === bytes ? Buffer.concat(kept) : undefined,
    end: broken === undefined ? 'complete' : sawFin() ? 'early-fin' : 'reset',
    headersMs,
    firstByteMs,
    durationMs: since(),
  }
}
