import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { Agent, request } from 'node:https'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { describeError, StarlingError } from '../../core/errors.ts'
import { readTrustText } from '../trust/text.ts'

/** How this machine's containerd reaches its mirror; paths of PEM files. */
export interface MirrorAddress {
  /** `https://127.0.0.1:6443` */
  readonly url: string
  readonly ca: string
  readonly clientCert: string
  readonly clientKey: string
}

export interface MirrorRequest {
  /** Path and query. */
  readonly path: string
  readonly method: 'GET' | 'HEAD'
  /** Names the request for the ops API. */
  readonly id?: string | undefined
  /** The body is asked for from this byte on. */
  readonly fromByte?: number
}

export type MirrorAnswer =
  | { readonly ok: true; readonly headers: IncomingHttpHeaders; readonly body: Readable }
  /** `reason`: what the mirror said, in one line. */
  | { readonly ok: false; readonly status: number; readonly reason: string }

/** As long as containerd waits for the head of an answer (CONTAINERD.md, "Waiting"). */
const headTimeoutMs = 30_000
/** The mirror cures stalls itself; a body that is silent for longer is given up. */
const bodyTimeoutMs = 60_000
const maxErrorBytes = 65_536

/** Asks the mirror of this machine as its containerd would: HTTP/1.1, mutual TLS, few connections. */
export class MirrorClient {
  readonly url: string
  readonly #agent: Agent

  private constructor(url: string, tls: { ca: string; cert: string; key: string }) {
    this.url = url
    this.#agent = new Agent({ ...tls, keepAlive: true, maxSockets: 2 })
  }

  /** @throws StarlingError TRUST_FILE_INVALID, TRUST_FILE_UNSAFE */
  static async open({ url, ca, clientCert, clientKey }: MirrorAddress): Promise<MirrorClient> {
    const read = async (file: string, what: string, secret: boolean) =>
      (await readTrustText(file, { what, secret })).text
    return new MirrorClient(url, {
      ca: await read(ca, 'the server CA', false),
      cert: await read(clientCert, 'the client certificate', false),
      key: await read(clientKey, 'the client key', true),
    })
  }

  /** Resolves with the head of the answer. @throws StarlingError PEER_UNREACHABLE where there is none */
  async ask({ path, method, id, fromByte = 0 }: MirrorRequest): Promise<MirrorAnswer> {
    const headers = {
      ...(id === undefined ? {} : { 'starling-request': id }),
      ...(fromByte === 0 ? {} : { range: `bytes=${fromByte}-` }),
    }
    const message = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = request(new URL(path, this.url), { method, headers, agent: this.#agent })
      const timer = setTimeout(() => outgoing.destroy(new Error('no answer within 30 s')), headTimeoutMs)
      outgoing.once('close', () => clearTimeout(timer))
      outgoing.on('error', reject)
      outgoing.once('response', (response) => {
        clearTimeout(timer)
        response.setTimeout(bodyTimeoutMs, () => response.destroy(new Error('no byte for 60 s')))
        resolve(response)
      })
      outgoing.end()
    }).catch((error: unknown) => {
      throw new StarlingError(
        'PEER_UNREACHABLE',
        `the mirror of this machine, ${this.url}, gives no answer: ${describeError(error)}`,
        { hint: 'does starling agent run, and does registries.yaml name a registry?', cause: error },
      )
    })
    const status = message.statusCode ?? 0
    if (status === (fromByte === 0 ? 200 : 206)) return { ok: true, headers: message.headers, body: message }
    return { ok: false, status, reason: await reasonOf(message) }
  }

  close(): void {
    this.#agent.destroy()
  }
}

/** What an error answer says: in its body (OCI distribution specification, "Error Codes"), for HEAD in a header. */
async function reasonOf(message: IncomingMessage): Promise<string> {
  const header = message.headers['starling-reason']
  const length = Number(message.headers['content-length'] ?? 0)
  const body = length > maxErrorBytes ? '' : await text(message).catch(() => '')
  if (length > maxErrorBytes) message.destroy()
  if (typeof header === 'string' && header !== '') return header
  try {
    const { errors } = JSON.parse(body) as { errors?: { message?: unknown }[] }
    const said = errors?.[0]?.message
    if (typeof said === 'string') return said.replace(/^starling: /, '')
  } catch {
    // An answer of something else than a registry.
  }
  return `it answered with status ${message.statusCode}`
}
