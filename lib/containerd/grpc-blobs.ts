import type { ClientReadableStream } from '@grpc/grpc-js'
import type { BlobHandle, BlobSource } from '../core/content-store.ts'
import type { Digest } from '../core/digest.ts'
import { StarlingError } from '../core/errors.ts'
import { ContainerdClient, callBounds, toUnavailable } from './client.ts'

/** Blobs over containerd's API: for a node that reaches the socket and not the folder. */
export class GrpcBlobs {
  readonly #client: ContainerdClient
  readonly #namespaces: readonly string[]

  constructor(source: BlobSource & { kind: 'containerd' }) {
    this.#client = new ContainerdClient(source.socket)
    this.#namespaces = source.namespaces
  }

  close(): void {
    this.#client.close()
  }

  /** Undefined where no namespace has the blob. @throws StarlingError STORE_UNAVAILABLE */
  async open(digest: Digest): Promise<BlobHandle | undefined> {
    for (const namespace of this.#namespaces) {
      const info = await this.#client.contentInfo(namespace, digest)
      if (info !== undefined) return new GrpcBlob(this.#client, namespace, digest, info.sizeBytes)
    }
    return undefined
  }
}

/**
 * Reads go on in one stream as long as each begins where the last one ended, as the bytes of a body do; containerd
 * holds the blob open meanwhile, so that it stays readable when it is deleted. A jump begins a new stream.
 */
class GrpcBlob implements BlobHandle {
  readonly sizeBytes: number
  readonly #client: ContainerdClient
  readonly #namespace: string
  readonly #digest: Digest
  #stream: ClientReadableStream<{ data: Uint8Array }> | undefined
  #pieces: AsyncIterator<{ data: Uint8Array }> | undefined
  #rest: Uint8Array = new Uint8Array(0)
  #position = 0
  #last: Promise<unknown> = Promise.resolve()

  constructor(client: ContainerdClient, namespace: string, digest: Digest, sizeBytes: number) {
    this.#client = client
    this.#namespace = namespace
    this.#digest = digest
    this.sizeBytes = sizeBytes
  }

  /** Reads that overlap in time are done one after the other. */
  read(target: Uint8Array, offset: number): Promise<number> {
    const result = this.#last.then(() => this.#read(target, offset))
    this.#last = result.catch(() => {})
    return result
  }

  async close(): Promise<void> {
    this.#stream?.cancel()
    this.#stream = undefined
    this.#pieces = undefined
    this.#rest = new Uint8Array(0)
  }

  async #read(target: Uint8Array, offset: number): Promise<number> {
    if (target.length === 0 || offset >= this.sizeBytes) return 0
    if (this.#pieces === undefined || offset !== this.#position) this.#begin(offset)
    let filled = 0
    while (filled < target.length && this.#position < this.sizeBytes) {
      if (this.#rest.length === 0) this.#rest = await this.#next()
      const piece = this.#rest.subarray(0, target.length - filled)
      target.set(piece, filled)
      this.#rest = this.#rest.subarray(piece.length)
      filled += piece.length
      this.#position += piece.length
    }
    return filled
  }

  #begin(offset: number): void {
    this.#stream?.cancel()
    const stream = this.#client.read(this.#namespace, this.#digest, offset)
    this.#stream = stream
    this.#pieces = stream[Symbol.asyncIterator]()
    this.#rest = new Uint8Array(0)
    this.#position = offset
  }

  async #next(): Promise<Uint8Array> {
    const stream = this.#stream
    // Containerd answers in milliseconds; one that hangs must not hold a reader for ever.
    const timer = setTimeout(() => stream?.cancel(), callBounds.unaryTimeoutMs)
    try {
      const next = await this.#pieces?.next()
      if (next === undefined || next.done === true) throw ended(this.#digest, this.#position)
      return next.value.data
    } catch (error) {
      this.#pieces = undefined
      throw toUnavailable(error)
    } finally {
      clearTimeout(timer)
    }
  }
}

function ended(digest: Digest, position: number): StarlingError {
  return new StarlingError('STORE_UNAVAILABLE', `containerd ended blob ${digest} at byte ${position}`)
}
