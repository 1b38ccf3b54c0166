import { rmSync } from 'node:fs'
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { loadProtocol, type Method } from '../../lib/containerd/protocol.ts'

/** What a scripted containerd holds; tests change it and then say so by an event, or not. */
export interface ScriptedState {
  version: string
  namespaces: string[]
  /** Image name → digest of the target, as text: it may be malformed. */
  images: Map<string, string>
  /** Digest → bytes. */
  contents: Map<string, Uint8Array>
  labels: Map<string, Record<string, string>>
}

export interface ScriptedContainerd {
  readonly state: ScriptedState
  /** How often each call was made. */
  readonly calls: Map<string, number>
  /** Streams that listen to events now. */
  subscribers(): number
  /** Sends an event with these encoded fields to all who listen. */
  emit(topic: string, fields: Uint8Array, namespace?: string): void
  /** Sends the event `/images/…` or `/content/…` with its name or digest. */
  tell(topic: string, subject: string): void
  /** Ends all event streams. */
  breakEvents(): void
  stop(): void
}

type Call = ServerUnaryCall<Record<string, unknown>, object>
type Stream = ServerWritableStream<Record<string, unknown>, object>

/** Protobuf field 1 as a string. */
export function stringField(text: string): Uint8Array {
  const bytes = Buffer.from(text)
  const length = bytes.length
  const head = length < 128 ? [10, length] : [10, (length & 127) | 128, length >> 7]
  return Buffer.concat([Buffer.from(head), bytes])
}

/**
 * A server that answers containerd's calls from a script, for what the containerd at hand can't show: events of later
 * versions, floods, nonsense. It knows nothing of a folder: contents are read over gRPC.
 */
export async function startScripted(socket: string): Promise<ScriptedContainerd> {
  const protocol = loadProtocol()
  const state: ScriptedState = {
    version: 'v2.1.0',
    namespaces: ['k8s.io'],
    images: new Map(),
    contents: new Map(),
    labels: new Map(),
  }
  const calls = new Map<string, number>()
  const listening = new Set<Stream>()
  const server = new Server()
  const count = (name: string): void => void calls.set(name, (calls.get(name) ?? 0) + 1)
  const service = (
    methods: Record<string, Method<never, never>>,
    handlers: Record<string, unknown>,
  ): void => {
    const definition = Object.fromEntries(
      Object.entries(methods).map(([name, method]) => [name, { ...method, originalName: name }]),
    )
    server.addService(definition as unknown as ServiceDefinition, handlers as UntypedServiceImplementation)
  }
  const unary =
    (name: string, answer: (request: Record<string, unknown>) => object | undefined) =>
    (call: Call, done: sendUnaryData<object>): void => {
      count(name)
      const value = answer(call.request)
      if (value === undefined) done({ code: status.NOT_FOUND, details: 'not found' })
      else done(null, value)
    }
  const image = (name: string): object | undefined => {
    const digest = state.images.get(name)
    return digest === undefined ? undefined : { name, target: { digest, mediaType: '', size: 0 } }
  }
  const info = (digest: string): object | undefined => {
    const bytes = state.contents.get(digest)
    return bytes && { digest, size: bytes.length, labels: state.labels.get(digest) ?? {} }
  }

  service(
    { version: protocol.version as never },
    { version: unary('version', () => ({ version: state.version })) },
  )
  service({ plugins: protocol.plugins as never }, { plugins: unary('plugins', () => ({ plugins: [] })) })
  service(
    { namespaces: protocol.namespaces as never },
    { namespaces: unary('namespaces', () => ({ namespaces: state.namespaces.map((name) => ({ name })) })) },
  )
  service(
    { imageGet: protocol.imageGet as never, imageList: protocol.imageList as never },
    {
      imageGet: unary('imageGet', ({ name }) => {
        const found = image(String(name))
        return found && { image: found }
      }),
      imageList: unary('imageList', () => ({ images: [...state.images.keys()].map((name) => image(name)) })),
    },
  )
  service(
    {
      contentInfo: protocol.contentInfo as never,
      contentList: protocol.contentList as never,
      contentRead: protocol.contentRead as never,
    },
    {
      contentInfo: unary('contentInfo', ({ digest }) => {
        const found = info(String(digest))
        return found && { info: found }
      }),
      contentList: (call: Stream) => {
        count('contentList')
        for (const digest of state.contents.keys()) call.write({ info: [info(digest)] })
        call.end()
      },
      contentRead: (call: Stream) => {
        count('contentRead')
        const bytes = state.contents.get(String(call.request.digest))
        if (bytes === undefined) call.emit('error', { code: status.NOT_FOUND, details: 'not found' })
        else call.end(void call.write({ data: bytes.subarray(Number(call.request.offset)) }))
      },
    },
  )
  service(
    { subscribe: protocol.subscribe as never },
    {
      subscribe: (call: Stream) => {
        count('subscribe')
        listening.add(call)
        call.on('cancelled', () => listening.delete(call))
        call.on('error', () => listening.delete(call))
      },
    },
  )
  rmSync(socket, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    )
  })
  const emit = (topic: string, fields: Uint8Array, namespace = 'k8s.io'): void => {
    for (const call of listening) call.write({ namespace, topic, event: { type_url: '', value: fields } })
  }
  return {
    state,
    calls,
    subscribers: () => listening.size,
    emit,
    tell: (topic, subject) => emit(topic, stringField(subject)),
    breakEvents() {
      for (const call of listening) call.end()
      listening.clear()
    },
    stop: () => server.forceShutdown(),
  }
}
