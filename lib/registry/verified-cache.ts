import { LRUCache } from 'lru-cache'
import type { Digest } from '../core/digest.ts'
import type { ParsedManifest } from '../core/manifest.ts'

/** What was checked against its digest once. A digest names its content, so it never gets old. */
export interface Descriptor {
  readonly sizeBytes: number
  /** Undefined where it is not a manifest. */
  readonly manifestType: string | undefined
}

export interface Manifest {
  readonly bytes: Uint8Array
  readonly mediaType: string
}

const maxDescriptors = 2048
const maxClaimsOfOne = 128
const maxManifestBytes = 2 * 2 ** 20
const maxCachedManifestSizeBytes = 256 * 2 ** 10

/** Sizes and media types for HEAD, and small manifests, because a GET follows each HEAD. Bounded. */
export class VerifiedCache {
  readonly #descriptors = new LRUCache<Digest, Descriptor>({ max: maxDescriptors })
  readonly #claimedSizes = new LRUCache<Digest, number>({ max: maxDescriptors })
  readonly #manifests = new LRUCache<Digest, Manifest>({
    maxSize: maxManifestBytes,
    maxEntrySize: maxCachedManifestSizeBytes,
    sizeCalculation: ({ bytes }) => bytes.length + 256,
  })

  descriptor(digest: Digest): Descriptor | undefined {
    return this.#descriptors.get(digest)
  }

  /** The size that a checked manifest gives for a blob, which need not be right. */
  claimedSize(digest: Digest): number | undefined {
    return this.#claimedSizes.get(digest)
  }

  claimSizes({ children, childSizes = [] }: Pick<ParsedManifest, 'children' | 'childSizes'>): void {
    for (const [index, digest] of children.slice(0, maxClaimsOfOne).entries()) {
      const size = childSizes[index] ?? Number.NaN
      if (size >= 0) this.#claimedSizes.set(digest, size)
    }
  }

  manifest(digest: Digest): Manifest | undefined {
    return this.#manifests.get(digest)
  }

  putDescriptor(digest: Digest, descriptor: Descriptor): void {
    this.#descriptors.set(digest, descriptor)
  }

  putManifest(digest: Digest, manifest: Manifest): void {
    this.#descriptors.set(digest, { sizeBytes: manifest.bytes.length, manifestType: manifest.mediaType })
    this.#manifests.set(digest, manifest)
  }
}
