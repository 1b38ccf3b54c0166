import { join } from 'node:path'
import { Client, credentials, type MethodDefinition } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

/** An image as the kubelet sees it. */
export interface CriImage {
  /** Digest of its configuration. */
  readonly id: string
  readonly repoTags: readonly string[]
  readonly repoDigests: readonly string[]
  readonly size: number
  readonly pinned: boolean
}

/** What a kubelet asks containerd; each call throws the error of gRPC. */
export interface Cri extends Disposable {
  /** What `crictl images` asks for. */
  images(): Promise<readonly CriImage[]>
  /** Pulls an image as for a pod, through the hosts.toml files of containerd's own configuration; returns its id. */
  pull(reference: string): Promise<string>
  /**
   * Starts the sandbox of a pod in the network of the machine, which needs no network plugin; pulls its image where it is
   * not there. Returns its id.
   */
  runSandbox(name: string, logDir: string): Promise<string>
  sandboxState(id: string): Promise<'SANDBOX_READY' | 'SANDBOX_NOTREADY'>
  /** Ends its process and removes it. */
  removeSandbox(id: string): Promise<void>
}

interface SandboxId {
  readonly podSandboxId: string
}

const definition = loadSync(join(import.meta.dirname, 'cri.proto'), {
  longs: Number,
  enums: String,
  defaults: true,
})

function method<Request, Response>(service: string, name: string): MethodDefinition<Request, Response> {
  const methods = definition[`runtime.v1.${service}`] as unknown as Readonly<
    Record<string, MethodDefinition<Request, Response>>
  >
  const found = methods[name]
  if (found === undefined) throw new Error(`cri.proto lacks ${service}.${name}`)
  return found
}

const methods = {
  images: method<object, { images: readonly CriImage[] }>('ImageService', 'ListImages'),
  pull: method<object, { imageRef: string }>('ImageService', 'PullImage'),
  run: method<object, SandboxId>('RuntimeService', 'RunPodSandbox'),
  status: method<SandboxId, { status: { state: 'SANDBOX_READY' | 'SANDBOX_NOTREADY' } }>(
    'RuntimeService',
    'PodSandboxStatus',
  ),
  stop: method<SandboxId, object>('RuntimeService', 'StopPodSandbox'),
  remove: method<SandboxId, object>('RuntimeService', 'RemovePodSandbox'),
}

/** Speaks with the containerd of a socket; nothing is asked yet. */
export function openCri(socket: string): Cri {
  const client = new Client(`unix:${socket}`, credentials.createInsecure())
  const call = <Request, Response>(
    { path, requestSerialize, responseDeserialize }: MethodDefinition<Request, Response>,
    request: Request,
  ): Promise<Response> =>
    new Promise((resolve, reject) => {
      const deadline = Date.now() + 120_000
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        { deadline },
        (error, answer) => (error === null ? resolve(answer as Response) : reject(error)),
      )
    })
  return {
    images: async () => (await call(methods.images, {})).images,
    pull: async (reference) => (await call(methods.pull, { image: { image: reference } })).imageRef,
    async runSandbox(name, logDirectory) {
      const namespaceOptions = { network: 'NODE', pid: 'CONTAINER' }
      const config = {
        metadata: { name, uid: `${name}-uid`, namespace: 'default' },
        logDirectory,
        linux: { securityContext: { namespaceOptions } },
      }
      return (await call(methods.run, { config })).podSandboxId
    },
    sandboxState: async (id) => (await call(methods.status, { podSandboxId: id })).status.state,
    async removeSandbox(id) {
      await call(methods.stop, { podSandboxId: id })
      await call(methods.remove, { podSandboxId: id })
    },
    [Symbol.dispose]: () => client.close(),
  }
}
