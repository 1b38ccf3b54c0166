import { randomBytes } from 'node:crypto'
import { type Digest, isDigest } from '../core/digest.ts'
import { StarlingError } from '../core/errors.ts'
import { mergeSourceLabel } from '../core/image-labels.ts'
import type { ImageIntake, ImageWriter, Labels, NewImage, StoredBlob } from '../core/image-writer.ts'
import { writeBlob } from './blob-write.ts'
import { ContainerdClient, isAlreadyThere, isNotFound } from './client.ts'
import { readSmallBlob } from './manifests.ts'
import { probeSocket } from './probe.ts'

const leaseLabel = 'starling.io/import'
/** Containerd drops a lease of ours that nobody came back for. */
const leaseHours = 24
const sourcePrefix = 'containerd.io/distribution.source.'

/**
 * Puts images into containerd over its socket. A lease keeps what is written; what a broken-off import left goes with its
 * lease. @throws StarlingError STORE_UNAVAILABLE
 */
export async function createContainerdImageWriter(socket: string, namespace: string): Promise<ImageWriter> {
  await probeSocket(socket)
  const client = new ContainerdClient(socket)
  const sizeOf = async (digest: Digest) => (await client.contentInfo(namespace, digest))?.sizeBytes
  return {
    kind: 'containerd',
    async begin() {
      for (const id of await client.leases(namespace, leaseLabel)) await endLease(client, namespace, id)
      const lease = `starling-import-${randomBytes(8).toString('hex')}`
      const expires = new Date(Date.now() + leaseHours * 3_600_000).toISOString()
      const labels = { [leaseLabel]: 'true', 'containerd.io/gc.expire': expires }
      await client.change('leaseCreate', { id: lease, labels }, namespace)
      return new ContainerdIntake(client, namespace, lease)
    },
    async images() {
      const images = await client.images(namespace)
      return images.flatMap(({ name, target, labels }) => {
        const digest = target?.digest ?? ''
        return isDigest(digest) ? [{ namespace, name, target: digest, labels }] : []
      })
    },
    async labelImage(name, changes) {
      const image = await client.image(namespace, name)
      if (image === undefined) return false
      // A label that is empty is taken away.
      const labels = Object.fromEntries(Object.entries(changes).map(([key, value]) => [key, value ?? '']))
      const paths = Object.keys(labels).map((key) => `labels.${key}`)
      try {
        await client.change('imageUpdate', { image: { ...image, labels }, updateMask: { paths } }, namespace)
        return true
      } catch (error) {
        if (error instanceof StarlingError && isNotFound(error.cause)) return false
        throw error
      }
    },
    labelBlob: (digest, labels) => labelBlob(client, namespace, digest, labels),
    sizeOf,
    readSmall: (digest) => readSmallBlob(client, namespace, digest),
    async close() {
      client.close()
    },
  }
}

class ContainerdIntake implements ImageIntake {
  readonly #client: ContainerdClient
  readonly #namespace: string
  readonly #lease: string
  #count = 0

  constructor(client: ContainerdClient, namespace: string, lease: string) {
    this.#client = client
    this.#namespace = namespace
    this.#lease = lease
  }

  addBlob(source: AsyncIterable<Uint8Array>): Promise<StoredBlob> {
    this.#count += 1
    const place = { namespace: this.#namespace, lease: this.#lease, ref: `${this.#lease}-${this.#count}` }
    return writeBlob(this.#client, place, source)
  }

  async sizeOf(digest: Digest): Promise<number | undefined> {
    return (await this.#client.contentInfo(this.#namespace, digest))?.sizeBytes
  }

  readSmall(digest: Digest): Promise<Uint8Array | undefined> {
    return readSmallBlob(this.#client, this.#namespace, digest)
  }

  async publish(blobs: ReadonlyMap<Digest, Labels>, images: readonly NewImage[]): Promise<void> {
    for (const [digest, labels] of blobs) await labelBlob(this.#client, this.#namespace, digest, labels)
    for (const { name, target, labels } of images) {
      const { mediaType, digest, sizeBytes: size } = target
      const image = { name, labels, target: { mediaType, digest, size } }
      try {
        await this.#client.change('imageCreate', { image }, this.#namespace, this.#lease)
      } catch (error) {
        if (!(error instanceof StarlingError && isAlreadyThere(error.cause))) throw error
        const paths = ['target', ...Object.keys(labels).map((key) => `labels.${key}`)]
        await this.#client.change(
          'imageUpdate',
          { image, updateMask: { paths } },
          this.#namespace,
          this.#lease,
        )
      }
    }
  }

  close(): Promise<void> {
    return endLease(this.#client, this.#namespace, this.#lease)
  }
}

async function labelBlob(
  client: ContainerdClient,
  namespace: string,
  digest: Digest,
  added: Labels,
): Promise<void> {
  const info = await client.contentInfo(namespace, digest)
  if (info === undefined) return
  const labels = Object.fromEntries(
    Object.entries(added).map(([key, value]) => [
      key,
      key.startsWith(sourcePrefix) ? mergeSourceLabel(info.labels[key], value) : value,
    ]),
  )
  const paths = Object.keys(labels).map((key) => `labels.${key}`)
  if (paths.length > 0)
    await client.change('contentUpdate', { info: { digest, labels }, updateMask: { paths } }, namespace)
}

/** One that is gone already is no error. */
async function endLease(client: ContainerdClient, namespace: string, id: string): Promise<void> {
  try {
    await client.change('leaseDelete', { id, sync: false }, namespace)
  } catch (error) {
    if (!(error instanceof StarlingError && isNotFound(error.cause))) throw error
  }
}
