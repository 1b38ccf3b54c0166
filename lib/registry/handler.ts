import type { IncomingMessage, ServerResponse } from 'node:http'
import { describeError } from '../core/errors.ts'
import type { Logger } from '../core/ports.ts'
import { serveChunkMap } from './chunk-maps/serve-map.ts'
import type { ClientVerdict } from './client-identity.ts'
import { ClientResponse } from './client-response.ts'
import { Exchange, type RegistryServices, sendFailure } from './exchange.ts'
import type { OciFailure } from './oci-error.ts'
import { hopHeader, parseRequest, type RegistryRequest, requestIdOf } from './request.ts'
import { serveBlob } from './serve-blob.ts'
import { serveList } from './serve-list.ts'
import { serveManifest } from './serve-manifest.ts'
import { SlotKeeper } from './slot-keeper.ts'

const maxReportedPathLength = 300

/** Answers the requests of a worker and reports each of them once. */
export class RegistryHandler {
  readonly #services: RegistryServices
  readonly #log: Logger
  readonly #active = new Set<ClientResponse>()
  #onIdle: (() => void) | undefined
  #stopping = false

  constructor(services: RegistryServices, log: Logger) {
    this.#services = services
    this.#log = log
  }

  /** Requests that are being answered. */
  get inFlight(): number {
    return this.#active.size
  }

  /** Never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse, client: ClientVerdict): Promise<void> {
    const startedMs = this.#services.now()
    const out = new ClientResponse(response, this.#services.limits.clientTimeoutMs, this.#services.writes)
    this.#active.add(out)
    const parsed = parseRequest(request.method ?? '', request.url ?? '', request.headers)
    const exchange =
      client.ok && 'value' in parsed ? new Exchange(parsed.value, request.headers, out) : undefined
    let refusal: OciFailure | undefined
    if (!client.ok) refusal = refusedClient(client.reason)
    else if ('failure' in parsed) refusal = parsed.failure
    const id = requestIdOf(request.headers)
    response.once('close', () => {
      this.#active.delete(out)
      if (this.#active.size === 0) this.#onIdle?.()
      this.#services.control.requested({
        method: (request.method ?? '').slice(0, 20),
        path: (request.url ?? '').slice(0, maxReportedPathLength),
        registry: exchange?.registry,
        status: out.status,
        source: exchange?.source ?? 'none',
        reason: exchange?.reason ?? refusal?.message ?? '',
        peers: exchange?.peers ?? [],
        bytes: out.sentBytes,
        durationMs: this.#services.now() - startedMs,
        incomplete: out.headSent && !response.writableFinished,
        fromPeer: exchange?.request.fromPeer ?? false,
        client: client.ok ? client.name : undefined,
        ...(id === undefined ? {} : { id, shares: exchange?.shares ?? [] }),
      })
    })
    const headOnly = request.method === 'HEAD'
    if (refusal !== undefined || exchange === undefined) {
      sendFailure(out, refusal ?? refusedClient(''), headOnly)
      return
    }
    if (this.#stopping) response.setHeader('connection', 'close')
    // Containerd would ask again at once, five times (CONTAINERD.md): it is never told to wait.
    if (exchange.request.fromPeer && !headOnly && exchange.request.route.kind === 'blob') {
      const name = client.ok ? (client.name ?? '') : ''
      const slot = this.#services.uploads.take(name)
      if (slot === undefined) {
        const failure = request.headers[hopHeader] === '1' ? tooBusy : tooBusyForContainerd
        exchange.reason = failure.message
        sendFailure(out, failure, headOnly)
        return
      }
      out.slot = new SlotKeeper(slot, 'upload', this.#services)
      out.pace = (bytes) => this.#services.uploads.delayMs(name, bytes, this.#services.now())
    }
    try {
      await this.#route(exchange, exchange.request)
    } catch (error) {
      this.#failed(exchange, error)
    }
  }

  /** Resolves when no request is left. */
  idle(): Promise<void> {
    if (this.#active.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onIdle = resolve
    })
  }

  /** Answers from now on close their connections. */
  beginStop(): void {
    this.#stopping = true
  }

  /** What is under way ends early. */
  cutShort(): void {
    for (const out of this.#active) out.shutDown()
  }

  async #route(exchange: Exchange, { route }: RegistryRequest): Promise<void> {
    switch (route.kind) {
      case 'base':
        exchange.source = 'memory'
        exchange.reason = 'the registry API is here'
        exchange.json({})
        return
      case 'catalog':
        return serveList(exchange, this.#services, undefined, route.page)
      case 'tags':
        return serveList(exchange, this.#services, route.name, route.page)
      case 'manifest':
        return serveManifest(exchange, this.#services, route)
      case 'chunk-map':
        return serveChunkMap(exchange, this.#services, route.name, route.digest)
      case 'blob':
        return serveBlob(exchange, this.#services, route.name, route.digest)
    }
  }

  #failed(exchange: Exchange, error: unknown): void {
    const message = describeError(error)
    this.#log.error({ error: message, path: exchange.request.route.kind }, 'a request failed')
    if (exchange.out.headSent) exchange.out.finish()
    else exchange.fail({ status: 503, code: 'UNAVAILABLE', message })
  }
}

const tooBusy: OciFailure = {
  status: 429,
  code: 'TOOMANYREQUESTS',
  message: 'this node gives bytes to as many peers as it may',
  headers: { 'retry-after': '1' },
}

/** It was redirected here: it goes on at the next host. */
const tooBusyForContainerd: OciFailure = { status: 503, code: 'UNAVAILABLE', message: tooBusy.message }

function refusedClient(reason: string): OciFailure {
  return { status: 403, code: 'DENIED', message: reason, headers: { connection: 'close' } }
}
