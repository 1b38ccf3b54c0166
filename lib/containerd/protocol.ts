import { findPackageJSON } from 'node:module'
import { dirname, join } from 'node:path'
import type { MethodDefinition } from '@grpc/grpc-js'
import { loadSync, type MessageTypeDefinition, type PackageDefinition } from '@grpc/proto-loader'

/** Messages of containerd's API as they arrive: fields that are not set hold their protobuf default. */
export interface ImageMessage {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly target: { readonly mediaType: string; readonly digest: string; readonly size: number } | null
}

export interface ContentInfoMessage {
  readonly digest: string
  readonly size: number
  readonly labels: Readonly<Record<string, string>>
}

/** One step of writing a blob: action 0 asks, 1 writes, 2 commits. */
export interface WriteMessage {
  readonly action: 0 | 1 | 2
  readonly ref?: string
  readonly total?: number
  readonly expected?: string
  readonly offset?: number
  readonly data?: Uint8Array
}

interface Masked {
  readonly updateMask: { readonly paths: readonly string[] }
}

export interface EnvelopeMessage {
  readonly namespace: string
  readonly topic: string
  readonly event: { readonly value: Uint8Array } | null
}

export interface PluginMessage {
  readonly type: string
  readonly id: string
  readonly exports: Readonly<Record<string, string>>
}

export type Method<Request extends object, Response extends object> = MethodDefinition<Request, Response>

/** The calls that are made, by containerd's names of service and method. */
export interface Protocol {
  readonly version: Method<object, { version: string; revision: string }>
  readonly plugins: Method<{ filters: readonly string[] }, { plugins: readonly PluginMessage[] }>
  readonly namespaces: Method<object, { namespaces: readonly { name: string }[] }>
  readonly imageGet: Method<{ name: string }, { image: ImageMessage | null }>
  readonly imageList: Method<object, { images: readonly ImageMessage[] }>
  readonly imageCreate: Method<{ image: ImageMessage }, object>
  readonly imageUpdate: Method<{ image: ImageMessage } & Masked, object>
  readonly contentUpdate: Method<
    { info: { digest: string; labels: Readonly<Record<string, string>> } } & Masked,
    object
  >
  readonly contentWrite: Method<WriteMessage, { offset: number; digest: string }>
  readonly leaseCreate: Method<{ id: string; labels: Readonly<Record<string, string>> }, object>
  readonly leaseDelete: Method<{ id: string; sync: boolean }, object>
  readonly leaseList: Method<{ filters: readonly string[] }, { leases: readonly { id: string }[] }>
  readonly contentInfo: Method<{ digest: string }, { info: ContentInfoMessage | null }>
  readonly contentList: Method<object, { info: readonly ContentInfoMessage[] }>
  readonly contentRead: Method<
    { digest: string; offset: number; size: number },
    { offset: number; data: Uint8Array }
  >
  readonly subscribe: Method<{ filters: readonly string[] }, EnvelopeMessage>
  /** Decodes the payload of an event of this topic; undefined for topics that don't matter here. */
  decodeEvent(topic: string, payload: Uint8Array): { name?: string; digest?: string } | undefined
}

const protoFiles = [
  'images',
  'content',
  'content-events',
  'events',
  'leases',
  'namespaces',
  'version',
  'introspection',
]

const eventTypes: Readonly<Record<string, string>> = {
  '/images/create': 'containerd.services.images.v1.ImageCreate',
  '/images/update': 'containerd.services.images.v1.ImageUpdate',
  '/images/delete': 'containerd.services.images.v1.ImageDelete',
  '/content/create': 'containerd.events.ContentCreate',
  '/content/delete': 'containerd.events.ContentDelete',
}

let loaded: Protocol | undefined

/** Reads the `.proto` files, once for each process or worker. */
export function loadProtocol(): Protocol {
  loaded ??= readProtocol()
  return loaded
}

function readProtocol(): Protocol {
  // From package.json on, the path is the same in the repository and in the built package.
  const folder = join(dirname(findPackageJSON(import.meta.url) ?? ''), 'lib', 'containerd', 'protos')
  const definitions = loadSync(
    protoFiles.map((name) => `${name}.proto`),
    { includeDirs: [folder], keepCase: false, longs: Number, defaults: true },
  )
  const call = <Request extends object, Response extends object>(service: string, name: string) =>
    methodOf<Request, Response>(definitions, service, name)
  return {
    version: call('containerd.services.version.v1.Version', 'Version'),
    plugins: call('containerd.services.introspection.v1.Introspection', 'Plugins'),
    namespaces: call('containerd.services.namespaces.v1.Namespaces', 'List'),
    imageGet: call('containerd.services.images.v1.Images', 'Get'),
    imageList: call('containerd.services.images.v1.Images', 'List'),
    imageCreate: call('containerd.services.images.v1.Images', 'Create'),
    imageUpdate: call('containerd.services.images.v1.Images', 'Update'),
    contentUpdate: call('containerd.services.content.v1.Content', 'Update'),
    contentWrite: call('containerd.services.content.v1.Content', 'Write'),
    leaseCreate: call('containerd.services.leases.v1.Leases', 'Create'),
    leaseDelete: call('containerd.services.leases.v1.Leases', 'Delete'),
    leaseList: call('containerd.services.leases.v1.Leases', 'List'),
    contentInfo: call('containerd.services.content.v1.Content', 'Info'),
    contentList: call('containerd.services.content.v1.Content', 'List'),
    contentRead: call('containerd.services.content.v1.Content', 'Read'),
    subscribe: call('containerd.services.events.v1.Events', 'Subscribe'),
    decodeEvent(topic, payload) {
      const typeName = Object.hasOwn(eventTypes, topic) ? eventTypes[topic] : undefined
      if (typeName === undefined) return undefined
      const type = definitions[typeName] as MessageTypeDefinition<object, { name?: string; digest?: string }>
      return type.deserialize(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength))
    },
  }
}

function methodOf<Request extends object, Response extends object>(
  definitions: PackageDefinition,
  service: string,
  name: string,
): Method<Request, Response> {
  const methods = definitions[service] as Readonly<Record<string, Method<Request, Response>>> | undefined
  const method = methods?.[name]
  if (method === undefined) throw new Error(`the protocol files lack ${service}.${name}`)
  return method
}
