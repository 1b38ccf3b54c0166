import {
  type CallOptions,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  Client as GrpcClient,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js'
import { type Digest, isDigest } from '../core/digest.ts'
import { StarlingError } from '../core/errors.ts'
import {
  type ContentInfoMessage,
  type EnvelopeMessage,
  type ImageMessage,
  loadProtocol,
  type Method,
  type Protocol,
  type WriteMessage,
} from './protocol.ts'

/** Bounds of every call; a containerd that is slower or says more is treated as unavailable. */
export const callBounds = {
  unaryTimeoutMs: 10_000,
  listTimeoutMs: 120_000,
  /** 10,000 images are about 5 MiB; containerd itself sends at most 16 MiB in a message. */
  maxMessageBytes: 32 * 2 ** 20,
} as const

/** What the content service knows of a blob in one namespace. */
export interface ContentInfo {
  readonly digest: Digest
  readonly sizeBytes: number
  readonly labels: Readonly<Record<string, string>>
}

export type ChangeName = 'imageCreate' | 'imageUpdate' | 'contentUpdate' | 'leaseCreate' | 'leaseDelete'

/** A typed client of the calls that Starling makes. Errors are StarlingError STORE_UNAVAILABLE. */
export class ContainerdClient {
  readonly #client: GrpcClient
  readonly #protocol: Protocol
  readonly #callTimeoutMs: number
  readonly #calls = new Set<{ cancel(): void }>()

  /** `socket` is the absolute path of containerd's Unix socket. Nothing is dialled before the first call; `callTimeoutMs` bounds ordinary calls. */
  constructor(socket: string, callTimeoutMs: number = callBounds.unaryTimeoutMs) {
    this.#callTimeoutMs = callTimeoutMs
    this.#protocol = loadProtocol()
    this.#client = new GrpcClient(`unix:${socket}`, credentials.createInsecure(), {
      'grpc.max_receive_message_length': callBounds.maxMessageBytes,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
    })
  }

  /** Ends the connection and every call under way, with an error for who waits. */
  close(): void {
    for (const call of this.#calls) call.cancel()
    this.#client.close()
  }

  async version(): Promise<string> {
    const answer = await this.#unary(this.#protocol.version, {}, undefined)
    return answer.version
  }

  /** The folder of the content store, as the plugin exports it; undefined where it does not. */
  async contentPath(): Promise<string | undefined> {
    const filters = ['type==io.containerd.content.v1']
    const answer = await this.#unary(this.#protocol.plugins, { filters }, undefined)
    const root = answer.plugins.find((plugin) => plugin.type === 'io.containerd.content.v1')?.exports.root
    return root === undefined || root === '' ? undefined : root
  }

  async namespaces(): Promise<readonly string[]> {
    const answer = await this.#unary(this.#protocol.namespaces, {}, undefined)
    return answer.namespaces.map((namespace) => namespace.name)
  }

  async images(namespace: string): Promise<readonly ImageMessage[]> {
    const answer = await this.#unary(this.#protocol.imageList, {}, namespace, callBounds.listTimeoutMs)
    return answer.images
  }

  /** Undefined where there is no such image. */
  async image(namespace: string, name: string): Promise<ImageMessage | undefined> {
    const answer = await this.#unaryOrAbsent(this.#protocol.imageGet, { name }, namespace)
    return answer?.image ?? undefined
  }

  /** Undefined where the namespace does not have the blob. */
  async contentInfo(namespace: string, digest: Digest): Promise<ContentInfo | undefined> {
    const answer = await this.#unaryOrAbsent(this.#protocol.contentInfo, { digest }, namespace)
    return answer?.info == null ? undefined : toContentInfo(answer.info)
  }

  /** All blobs of a namespace whose digest is SHA-256. */
  async *contents(namespace: string): AsyncGenerator<ContentInfo> {
    const stream = this.#stream(this.#protocol.contentList, {}, namespace, callBounds.listTimeoutMs)
    try {
      for await (const message of stream) {
        for (const info of (message as { info: readonly ContentInfoMessage[] }).info) {
          const known = toContentInfo(info)
          if (known !== undefined) yield known
        }
      }
    } catch (error) {
      throw toUnavailable(error)
    } finally {
      stream.cancel()
    }
  }

  /**
   * The bytes of a blob from `offset` to its end, in pieces of some 32 KiB. The stream has no deadline: its reader
   * sets the pace, and must cancel it. Its errors are gRPC's; see `toUnavailable` and `isNotFound`.
   */
  read(namespace: string, digest: Digest, offset: number): ClientReadableStream<{ data: Uint8Array }> {
    return this.#stream(this.#protocol.contentRead, { digest, offset, size: 0 }, namespace)
  }

  /** Writes a blob under a lease, step by step; each step is answered. Its errors are gRPC's. */
  write(
    namespace: string,
    lease: string,
  ): ClientDuplexStream<WriteMessage, { offset: number; digest: string }> {
    const { path, requestSerialize, responseDeserialize } = this.#protocol.contentWrite
    const stream = this.#client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      metadataOf(namespace, lease),
    )
    return this.#track(stream)
  }

  /** One of the calls that change something, by its name. `lease` keeps what it makes. */
  change<K extends ChangeName>(
    name: K,
    request: Parameters<Protocol[K]['requestSerialize']>[0],
    namespace: string,
    lease?: string,
  ): Promise<object> {
    const method = this.#protocol[name] as Method<typeof request, object>
    return this.#unary(method, request, namespace, this.#callTimeoutMs, lease)
  }

  /** Ids of the leases that have a label. */
  async leases(namespace: string, label: string): Promise<readonly string[]> {
    const filters = [`labels."${label}"`]
    const answer = await this.#unary(this.#protocol.leaseList, { filters }, namespace)
    return answer.leases.map(({ id }) => id)
  }

  /** Events of the images and contents of these namespaces, until cancelled or broken. */
  subscribe(namespaces: readonly string[]): ClientReadableStream<EnvelopeMessage> {
    const filters = namespaces.flatMap((namespace) => [
      `namespace==${namespace},topic~="^/images/"`,
      `namespace==${namespace},topic~="^/content/"`,
    ])
    return this.#stream(this.#protocol.subscribe, { filters }, undefined)
  }

  /** The image name or digest that an event is about; undefined where it is about something else. */
  decodeEvent(envelope: EnvelopeMessage): { name?: string; digest?: string } | undefined {
    return envelope.event === null
      ? undefined
      : this.#protocol.decodeEvent(envelope.topic, envelope.event.value)
  }

  async #unaryOrAbsent<Q extends object, A extends object>(
    method: Method<Q, A>,
    request: Q,
    namespace: string,
  ): Promise<A | undefined> {
    try {
      return await this.#unary(method, request, namespace)
    } catch (error) {
      if (error instanceof StarlingError && isNotFound(error.cause)) return undefined
      throw error
    }
  }

  #unary<Q extends object, A extends object>(
    method: Method<Q, A>,
    request: Q,
    namespace: string | undefined,
    timeoutMs: number = this.#callTimeoutMs,
    lease?: string,
  ): Promise<A> {
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        metadataOf(namespace, lease),
        deadline(timeoutMs),
        (error, answer) => {
          this.#calls.delete(call)
          if (error !== null || answer === undefined) reject(toUnavailable(error))
          else resolve(answer)
        },
      )
      this.#calls.add(call)
    })
  }

  #stream<Q extends object, A extends object>(
    method: Method<Q, A>,
    request: Q,
    namespace: string | undefined,
    timeoutMs?: number,
  ): ClientReadableStream<A> {
    const stream = this.#client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadataOf(namespace),
      timeoutMs === undefined ? {} : deadline(timeoutMs),
    )
    return this.#track(stream)
  }

  #track<S extends ClientReadableStream<object>>(stream: S): S {
    this.#calls.add(stream)
    // Whoever reads the stream hears its error; one that was cancelled has nobody to tell.
    stream.on('error', () => {})
    stream.on('close', () => this.#calls.delete(stream))
    stream.on('status', () => this.#calls.delete(stream))
    return stream
  }
}

function deadline(timeoutMs: number): CallOptions {
  return { deadline: Date.now() + timeoutMs }
}

function metadataOf(namespace: string | undefined, lease?: string): Metadata {
  const metadata = new Metadata()
  if (lease !== undefined) metadata.set('containerd-lease', lease)
  if (namespace !== undefined) metadata.set('containerd-namespace', namespace)
  return metadata
}

function toContentInfo(info: ContentInfoMessage): ContentInfo | undefined {
  if (!isDigest(info.digest) || !Number.isSafeInteger(info.size) || info.size < 0) return undefined
  return { digest: info.digest, sizeBytes: info.size, labels: info.labels }
}

export function isAlreadyThere(error: unknown): boolean {
  return (error as Partial<ServiceError> | null)?.code === status.ALREADY_EXISTS
}

export function isNotFound(error: unknown): boolean {
  return (error as Partial<ServiceError> | null)?.code === status.NOT_FOUND
}

/** The error of a gRPC call as one line. */
export function toUnavailable(error: unknown): StarlingError {
  if (error instanceof StarlingError) return error
  const { code, details } = (error ?? {}) as Partial<ServiceError>
  const text = typeof code === 'number' ? `${status[code] ?? code}: ${details ?? ''}` : String(error)
  // grpc-js puts the time into its reason; the same problem must read the same each time.
  const reason = text.replaceAll(/ \(\d{4}-\d\d-\d\dT[\d:.]+Z\)/g, '').replace(/\.? Resolution note:.*/s, '')
  const line = reason.replaceAll(/\s+/g, ' ').trim().slice(0, 300)
  return new StarlingError('STORE_UNAVAILABLE', `containerd did not answer the call (${line})`, {
    cause: error,
  })
}
