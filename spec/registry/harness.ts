import { createHash, randomBytes, X509Certificate } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { Agent, type RequestOptions, request } from 'node:https'
import type { BlobReader } from '../../lib/core/content-store.ts'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import type { Digest } from '../../lib/core/digest.ts'
import type {
  Candidate,
  CandidatePeer,
  RegistryControl,
  RequestReport,
  TransferReport,
} from '../../lib/core/lookup.ts'
import type { Endpoint } from '../../lib/core/peer.ts'
import type { Clock, Logger, Metrics } from '../../lib/core/ports.ts'
import { DataPlane } from '../../lib/registry/data-plane.ts'
import {
  defaultRegistryLimits,
  type RegistryCredentials,
  type RegistryLimits,
} from '../../lib/registry/messages.ts'

export const registry = 'registry.example.com:5000'
export const repository = 'team/tool'

export const quietLog: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => quietLog,
}

export const systemClock: Clock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() }

export class CountingMetrics implements Metrics {
  readonly counts = new Map<string, number>()
  readonly gauges = new Map<string, number>()

  count(name: string, labels: Readonly<Record<string, string>> = {}, amount = 1): void {
    const key = [name, ...Object.values(labels)].join(' ')
    this.counts.set(key, (this.counts.get(key) ?? 0) + amount)
  }

  observe(): void {}

  set(name: string, value: number, labels: Readonly<Record<string, string>> = {}): void {
    this.gauges.set([name, ...Object.values(labels)].join(' '), value)
  }
}

export function digestOf(bytes: Uint8Array): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}` as Digest
}

export function registryCredentials(set: CredentialSet): RegistryCredentials {
  const { nodeName, serverCaPem, clientCaPem, serving, client, revocations = [] } = set
  const ticketKeys = randomBytes(48)
  return { nodeName, serverCaPem, clientCaPem, revocations, serving, client, ticketKeys }
}

/** Blobs in memory, with counts of what is open. */
export class MemoryBlobs {
  readonly blobs = new Map<Digest, Uint8Array>()
  openHandles = 0

  put(bytes: Uint8Array): Digest {
    const digest = digestOf(bytes)
    this.blobs.set(digest, bytes)
    return digest
  }

  reader(): BlobReader {
    return {
      open: async (digest) => {
        const bytes = this.blobs.get(digest)
        if (bytes === undefined) return undefined
        this.openHandles++
        return {
          sizeBytes: bytes.length,
          read: async (target, offset) => {
            const part = bytes.subarray(offset, offset + target.length)
            target.set(part)
            return part.length
          },
          close: async () => {
            this.openHandles--
          },
        }
      },
      close: async () => {},
    }
  }
}

/** A control plane that knows what the spec tells it, and remembers what it is told. */
export class SpecControl implements RegistryControl {
  readonly local: MemoryBlobs
  readonly tags = new Map<string, Digest>()
  candidates: readonly Candidate[] = []
  readonly transfers: TransferReport[] = []
  readonly requests: RequestReport[] = []
  readonly lost: Digest[] = []
  running = 0

  constructor(local = new MemoryBlobs()) {
    this.local = local
  }

  async lookup(query: Parameters<RegistryControl['lookup']>[0]): ReturnType<RegistryControl['lookup']> {
    const { target, fromPeer } = query
    const asked = query.registry
    if (asked !== undefined && asked !== registry) {
      return { found: false, registry: asked, miss: 'not-mirrored', detail: `${asked} is not mirrored here` }
    }
    const digest =
      target.kind === 'digest' ? target.digest : this.tags.get(`${target.repository}:${target.tag}`)
    if (digest === undefined) return { found: false, registry, miss: 'unknown-tag', detail: '' }
    const local = this.local.blobs.has(digest)
    if (fromPeer && !local) return { found: false, registry, miss: 'not-local', detail: '' }
    const candidates = fromPeer ? [] : this.candidates
    if (!local && candidates.length === 0) {
      return {
        found: false,
        registry,
        miss: 'no-holder',
        detail: `no live node of the cluster holds ${digest} of ${registry} (14 nodes mirror it)`,
      }
    }
    return { found: true, registry, digest, local, candidates, holders: candidates.length }
  }

  async list(query: Parameters<RegistryControl['list']>[0]): ReturnType<RegistryControl['list']> {
    const names = [...this.tags.keys()].map((name) => name.split(':') as [string, string])
    if (query.repository === undefined) {
      return { found: true, registry, names: [...new Set(names.map(([name]) => name))].sort() }
    }
    const tags = names.filter(([name]) => name === query.repository).map(([, tag]) => tag)
    return tags.length === 0
      ? { found: false, registry, miss: 'unknown-tag', detail: '' }
      : { found: true, registry, names: tags.sort() }
  }

  transferStarted(): void {
    this.running++
  }

  transferred(report: TransferReport): void {
    this.running--
    this.transfers.push(report)
  }

  requested(report: RequestReport): void {
    this.requests.push(report)
  }

  missing(digest: Digest): void {
    this.lost.push(digest)
  }
}

export interface TestPlane extends AsyncDisposable {
  readonly plane: DataPlane
  readonly endpoint: Endpoint
  readonly control: SpecControl
  readonly metrics: CountingMetrics
}

/** A data plane of one node in this thread. */
export async function startPlane(
  credentials: CredentialSet,
  options: { host?: string; control?: SpecControl; limits?: Partial<RegistryLimits>; mapsPath?: string } = {},
): Promise<TestPlane> {
  const { host = '127.0.11.1', control = new SpecControl(), limits = {} } = options
  const metrics = new CountingMetrics()
  const plane = new DataPlane({
    credentials: registryCredentials(credentials),
    limits: { ...defaultRegistryLimits, ...limits },
    mapsPath: options.mapsPath,
    reader: control.local.reader(),
    control,
    clock: systemClock,
    log: quietLog,
    metrics,
  })
  const [endpoint] = await plane.listen([{ host, port: 0 }], { reusePort: false })
  return {
    plane,
    endpoint: endpoint as Endpoint,
    control,
    metrics,
    [Symbol.asyncDispose]: () => plane.stop(0),
  }
}

export function candidateOf(credentials: CredentialSet, endpoint: Endpoint): Candidate {
  return { peer: peerOf(credentials, endpoint), reach: 'complete' }
}

export function peerOf(credentials: CredentialSet, endpoint: Endpoint): CandidatePeer {
  const { publicKey } = new X509Certificate(credentials.serving.certPem)
  const key = publicKey.export({ type: 'spki', format: 'der' })
  return {
    peerId: credentials.peerId,
    name: credentials.nodeName,
    addresses: [endpoint.host],
    registryPort: endpoint.port,
    certificateKeyHash: createHash('sha256').update(key).digest('hex'),
  }
}

export interface ClientAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** `early`: FIN before the end; `reset`: an error such as ECONNRESET. */
  readonly end: 'complete' | 'early' | 'reset'
}

/** What a client of a node trusts and shows; like containerd it doesn't know the node's name beforehand. */
export function clientTls(credentials: CredentialSet): RequestOptions {
  return {
    ca: credentials.serverCaPem,
    cert: credentials.client.certPem,
    key: credentials.client.keyPem,
    checkServerIdentity: () => undefined,
  }
}

export function keptAgent(): Agent {
  return new Agent({ keepAlive: true, maxSockets: 1, checkServerIdentity: () => undefined })
}

export function fetchFrom(
  endpoint: Endpoint,
  credentials: CredentialSet,
  path: string,
  options: RequestOptions & { body?: string } = {},
): Promise<ClientAnswer> {
  const { body, ...rest } = options
  const { checkServerIdentity, ...tls } = clientTls(credentials)
  // Node keeps no connection that was opened with a check of its own: a kept agent has it.
  const identity = rest.agent === undefined ? { checkServerIdentity } : {}
  return new Promise((resolve, reject) => {
    const outgoing = request({
      ...tls,
      ...identity,
      agent: false,
      host: endpoint.host,
      port: endpoint.port,
      path,
      ...rest,
    })
    outgoing.on('error', reject)
    outgoing.on('response', (message) => {
      const chunks: Buffer[] = []
      const settle = (end: ClientAnswer['end']): void =>
        resolve({
          status: message.statusCode ?? 0,
          headers: message.headers,
          body: Buffer.concat(chunks),
          end,
        })
      message.on('data', (chunk: Buffer) => chunks.push(chunk))
      message.on('end', () => settle('complete'))
      message.on('error', (error: NodeJS.ErrnoException) =>
        settle(error.message === 'aborted' ? 'early' : 'reset'),
      )
    })
    outgoing.end(body)
  })
}

export interface IdleClient extends AsyncDisposable {
  readonly status: number | undefined
  /** Reads on, to the end. */
  read(): Promise<Buffer>
}

/** A client that reads nothing of the body of its answer before `read` is called. */
export async function startIdle(
  { host, port }: Endpoint,
  credentials: CredentialSet,
  path: string,
  headers: Record<string, string> = {},
): Promise<IdleClient> {
  const message = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = request({ ...clientTls(credentials), agent: false, host, port, path, headers })
    outgoing.on('error', reject)
    outgoing.on('response', resolve)
    outgoing.end()
  })
  message.pause()
  message.on('error', () => {})
  return {
    status: message.statusCode,
    async read() {
      const chunks: Buffer[] = []
      for await (const chunk of message as AsyncIterable<Buffer>) chunks.push(chunk)
      return Buffer.concat(chunks)
    },
    async [Symbol.asyncDispose]() {
      message.destroy()
    },
  }
}

export function blobPath(digest: Digest): string {
  return `/v2/${repository}/blobs/${digest}?ns=${registry}`
}

export function manifestPath(reference: string): string {
  return `/v2/${repository}/manifests/${reference}?ns=${registry}`
}

/** An OCI manifest over the given digests. */
export function manifestBytes(config: Digest, layers: readonly Digest[], size = 1): Buffer {
  const descriptor = (digest: Digest) => ({ mediaType: 'application/octet-stream', digest, size })
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: descriptor(config),
      layers: layers.map(descriptor),
    }),
  )
}
