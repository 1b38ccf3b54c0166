import type { IncomingMessage } from 'node:http'
import { Agent, type RequestOptions, request } from 'node:https'
import type { PeerCertificate } from 'node:tls'
import type { KeyPair, Revocation } from '../core/credentials.ts'
import { type ErrorCode, errorCodes, StarlingError, systemErrorCode } from '../core/errors.ts'
import { isServerCertificate } from '../trust/certificate-role.ts'
import { type JoinRefusal, JoinRefusedError } from '../trust/join-refusal.ts'
import { isRevokedClient } from '../trust/revocation-list.ts'

const maxBundleSizeBytes = 262_144
const maxAnswerSizeBytes = 64 * 2 ** 20
const defaultTimeoutMs = 15_000

export interface SupervisorTarget {
  /** `https://host:port` */
  readonly url: string
  /** PEM of what is believed; the server must lead to a self-signed one of them. */
  readonly anchors: readonly string[]
  /** What is shown; a stranger shows nothing. */
  readonly client?: KeyPair
  /** Servers that were revoked are not believed, though the CA signed for them. */
  readonly revocations?: readonly Revocation[]
}

export interface CallOptions {
  readonly body?: object
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** One server, from outside. */
export interface SupervisorClient {
  /**
   * A request and its JSON. Nothing is sent before the server has proved that it is one of this cluster's servers.
   * @throws StarlingError SERVER_UNTRUSTED, SERVER_UNREACHABLE; JoinRefusedError
   */
  call<T>(method: 'GET' | 'POST', path: string, options?: CallOptions): Promise<T>
  close(): void
}

interface Answer {
  readonly status: number
  readonly text: string
}

/**
 * What a stranger may ask: the CA certificates of whoever answers, unchecked. Nothing secret is sent.
 * @throws StarlingError SERVER_UNREACHABLE
 */
export async function fetchCaBundle(url: string, signal?: AbortSignal): Promise<string> {
  const { status, text } = await send(url, '/cacerts', {
    method: 'GET',
    agent: false,
    rejectUnauthorized: false,
    maxSizeBytes: maxBundleSizeBytes,
    timeoutMs: defaultTimeoutMs,
    signal,
  })
  if (status === 200) return text
  throw unreachable(url, `it answered with status ${status}`)
}

/** Why the holder of a certificate of the CA is no server to be believed. */
function serverFault(
  { raw, subject, valid_from }: PeerCertificate,
  revocations: readonly Revocation[],
): Error | undefined {
  const fault = (message: string, code: string) => Object.assign(new Error(message), { code })
  if (!isServerCertificate(raw)) return fault('its certificate is not one of a server', 'CERT_ROLE')
  const name = [subject.CN].flat()[0]
  if (!isRevokedClient(revocations, name, Date.parse(valid_from))) return undefined
  return fault(`the server ${name} was revoked`, 'CERT_REVOKED')
}

export function createSupervisorClient({
  url,
  anchors,
  client,
  revocations = [],
}: SupervisorTarget): SupervisorClient {
  const agent = new Agent({
    keepAlive: true,
    maxSockets: 4,
    maxCachedSessions: 0,
    ca: [...anchors],
    ...(client === undefined ? {} : { cert: client.certPem, key: client.keyPem }),
    minVersion: 'TLSv1.2',
    // Any node has a certificate of this CA: its role says who may answer, under whatever address. As an option of a
    // request it would keep the connection from being used again.
    checkServerIdentity: (_host, certificate) => serverFault(certificate, revocations),
  })
  return {
    async call<T>(method: 'GET' | 'POST', path: string, options: CallOptions = {}): Promise<T> {
      const { status, text } = await send(url, path, {
        agent,
        method,
        body: options.body,
        timeoutMs: options.timeoutMs ?? defaultTimeoutMs,
        signal: options.signal,
        maxSizeBytes: maxAnswerSizeBytes,
      })
      const value = parse(url, text)
      if (status === 200) return value as T
      throw failureOf(url, status, value)
    },
    close: () => agent.destroy(),
  }
}

interface SendOptions extends Omit<RequestOptions, 'signal'> {
  readonly body?: object | undefined
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
  readonly maxSizeBytes: number
}

function send(url: string, path: string, options: SendOptions): Promise<Answer> {
  const { body, timeoutMs, signal, maxSizeBytes, ...http } = options
  const sent = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
  const deadline = AbortSignal.timeout(timeoutMs)
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => reject(errorOf(url, error, deadline.aborted))
    const outgoing = request(
      new URL(path, url),
      {
        ...http,
        headers:
          sent === undefined ? {} : { 'content-type': 'application/json', 'content-length': sent.length },
        signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
      },
      (incoming: IncomingMessage) => {
        const chunks: Buffer[] = []
        let sizeBytes = 0
        incoming.on('data', (chunk: Buffer) => {
          sizeBytes += chunk.length
          if (sizeBytes > maxSizeBytes) incoming.destroy(new Error('the answer is too large'))
          else chunks.push(chunk)
        })
        incoming.once('error', fail)
        incoming.once('end', () =>
          resolve({ status: incoming.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
        )
      },
    )
    outgoing.once('error', fail)
    outgoing.end(sent)
  })
}

function errorOf(url: string, error: unknown, timedOut: boolean): StarlingError {
  const code = systemErrorCode(error) ?? ''
  if (/CERT|SIGNATURE|ISSUER|ALTNAME|UNTRUSTED|PATH_LENGTH|INVALID_PURPOSE|INVALID_CA/.test(code)) {
    const why = error instanceof Error ? error.message : code
    return new StarlingError('SERVER_UNTRUSTED', `${url} is no server of this cluster: ${why}`, {
      hint: 'nothing secret was sent; check the address, the token and the clock',
      cause: error,
    })
  }
  return unreachable(url, timedOut ? 'it did not answer in time' : code || String(error), error)
}

function unreachable(url: string, why: string, cause?: unknown): StarlingError {
  const hint = 'is the server running, and is its port (9345) open?'
  return new StarlingError('SERVER_UNREACHABLE', `no answer from ${url}: ${why}`, { hint, cause })
}

function parse(url: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw unreachable(url, 'what answers is no Starling', cause)
  }
}

function failureOf(url: string, status: number, value: unknown): StarlingError {
  const { code, message, reason } = (value as { error?: Record<string, unknown> } | null)?.error ?? {}
  const text = typeof message === 'string' ? message.slice(0, 500) : `status ${status}`
  if (typeof reason === 'string') return new JoinRefusedError(reason as JoinRefusal, text)
  const known = typeof code === 'string' && Object.hasOwn(errorCodes, code) ? (code as ErrorCode) : undefined
  return status >= 500
    ? unreachable(url, text)
    : new StarlingError(known ?? 'SERVER_UNREACHABLE', `${url}: ${text}`)
}
