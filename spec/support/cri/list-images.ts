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

const definition = loadSync(join(import.meta.dirname, 'images.proto'), { longs: Number, defaults: true })
const service = definition['runtime.v1.ImageService'] as unknown as {
  ListImages: MethodDefinition<object, { images: readonly CriImage[] }>
}

/** What `crictl images` asks for. @throws the error of gRPC */
export async function listCriImages(socket: string): Promise<readonly CriImage[]> {
  const client = new Client(`unix:${socket}`, credentials.createInsecure())
  const { path, requestSerialize, responseDeserialize } = service.ListImages
  try {
    return await new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        {},
        { deadline: Date.now() + 10_000 },
        (error, answer) => (error === null ? resolve(answer?.images ?? []) : reject(error)),
      )
    })
  } finally {
    client.close()
  }
}
