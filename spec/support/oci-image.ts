import { createCipheriv, createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { createGzip } from 'node:zlib'
import type { Digest } from '../../lib/core/digest.ts'
import { mediaTypes } from '../../lib/core/media-types.ts'
import { type TarFile, tarOf } from './tar.ts'

/** A content descriptor (OCI image specification, "Content Descriptors"). */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
  readonly platform?: { readonly os: string; readonly architecture: string }
  readonly annotations?: Readonly<Record<string, string>>
  readonly artifactType?: string
}

/** A blob whose bytes can be produced any number of times. */
export interface TestBlob {
  readonly descriptor: Descriptor
  readonly bytes: () => AsyncIterable<Uint8Array>
}

/** An image, index or artifact: what its name points to, and all blobs below, the root last. */
export interface TestImage {
  readonly root: Descriptor
  readonly blobs: ReadonlyMap<Digest, TestBlob>
}

/** An image of one platform. `diffs` are its layers uncompressed, in order. */
export interface PlatformImage extends TestImage {
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
  readonly diffs: readonly TestBlob[]
}

export interface LayerSpec {
  /** Bytes of the one file in the layer. */
  readonly sizeBytes: number
  /** `zeros` makes a large layer that costs nothing to keep. Default `random`, from the image's seed. */
  readonly content?: 'random' | 'zeros'
  readonly gzip?: boolean
  /** Instead of the one file. */
  readonly files?: readonly TarFile[]
}

export interface ImageSpec {
  /** The same seed and layers make the same image, byte for byte (with the same zlib for gzip). */
  readonly seed: string
  readonly layers: readonly LayerSpec[]
  readonly platform?: { readonly os: string; readonly architecture: string }
  /** What a container of it runs. */
  readonly entrypoint?: readonly string[]
}

const layerType = 'application/vnd.oci.image.layer.v1.tar'
const pieceSizeBytes = 256 * 1024
/** Blobs up to this size are kept in memory; larger ones are produced anew each time. */
const keptSizeBytes = 4 * 2 ** 20

/** Builds an image of one platform (default: linux and the architecture of this machine). */
export async function buildImage(spec: ImageSpec): Promise<PlatformImage> {
  const blobs = new Map<Digest, TestBlob>()
  const layers: Descriptor[] = []
  const diffs: TestBlob[] = []
  for (const [index, layer] of spec.layers.entries()) {
    const produce = (): AsyncIterable<Uint8Array> =>
      tarOf(
        layer.files ?? [
          {
            name: `layer-${index}.bin`,
            sizeBytes: layer.sizeBytes,
            bytes: () => contentOf(`${spec.seed}/${index}`, layer),
          },
        ],
      )
    const diff = await blobOf(layerType, produce)
    const blob = layer.gzip ? await blobOf(`${layerType}+gzip`, () => gzipOf(diff.bytes())) : diff
    diffs.push(diff)
    layers.push(blob.descriptor)
    blobs.set(blob.descriptor.digest, blob)
  }
  const platform = spec.platform ?? hostPlatform()
  const config = await jsonBlob('application/vnd.oci.image.config.v1+json', {
    ...platform,
    config: {
      Labels: { seed: spec.seed },
      ...(spec.entrypoint === undefined ? {} : { Entrypoint: spec.entrypoint }),
    },
    rootfs: { type: 'layers', diff_ids: diffs.map((diff) => diff.descriptor.digest) },
  })
  blobs.set(config.descriptor.digest, config)
  const manifest = await manifestBlob({ config: config.descriptor, layers })
  blobs.set(manifest.descriptor.digest, manifest)
  return { root: manifest.descriptor, config: config.descriptor, layers, diffs, blobs }
}

/** A multi-platform index over images. */
export async function buildIndex(
  images: readonly { image: TestImage; platform: { os: string; architecture: string } }[],
): Promise<TestImage> {
  const blobs = new Map<Digest, TestBlob>()
  for (const { image } of images) for (const [digest, blob] of image.blobs) blobs.set(digest, blob)
  const index = await jsonBlob(mediaTypes.ociIndex, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: images.map(({ image, platform }) => ({ ...image.root, platform })),
  })
  blobs.set(index.descriptor.digest, index)
  return { root: index.descriptor, blobs }
}

/** An artifact whose blobs are `sizes` bytes long; 0 makes the blob without a byte. */
export async function buildArtifact(spec: { seed: string; sizes: readonly number[] }): Promise<TestImage> {
  const blobs = new Map<Digest, TestBlob>()
  const layers: Descriptor[] = []
  for (const [index, sizeBytes] of spec.sizes.entries()) {
    const produce = (): AsyncIterable<Uint8Array> =>
      Readable.from(contentOf(`${spec.seed}/${index}`, { sizeBytes }))
    const blob = await blobOf('application/vnd.example.data', produce)
    layers.push(blob.descriptor)
    blobs.set(blob.descriptor.digest, blob)
  }
  const config = await jsonBlob('application/vnd.oci.empty.v1+json', {})
  blobs.set(config.descriptor.digest, config)
  const manifest = await manifestBlob({
    artifactType: 'application/vnd.example.artifact',
    config: config.descriptor,
    layers,
    annotations: { seed: spec.seed },
  })
  blobs.set(manifest.descriptor.digest, manifest)
  return { root: manifest.descriptor, blobs }
}

/** The same image without some of its blobs: what a node has that fetched one platform only. */
export function without(image: TestImage, digests: Iterable<Digest>): TestImage {
  const left = new Map(image.blobs)
  for (const digest of digests) left.delete(digest)
  return { root: image.root, blobs: left }
}

/** OCI platform of this machine. */
export function hostPlatform(): { os: string; architecture: string } {
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch
  return { os: 'linux', architecture }
}

/** A blob of known bytes. */
export function bytesBlob(mediaType: string, bytes: Uint8Array): Promise<TestBlob> {
  return blobOf(mediaType, () => Readable.from(bytes.length === 0 ? [] : [bytes]))
}

function manifestBlob(fields: object): Promise<TestBlob> {
  return jsonBlob(mediaTypes.ociManifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    ...fields,
  })
}

function jsonBlob(mediaType: string, value: unknown): Promise<TestBlob> {
  return bytesBlob(mediaType, Buffer.from(JSON.stringify(value)))
}

/** Produces a blob once to learn its digest and size. */
async function blobOf(mediaType: string, produce: () => AsyncIterable<Uint8Array>): Promise<TestBlob> {
  const hash = createHash('sha256')
  let size = 0
  let kept: Uint8Array[] | undefined = []
  for await (const piece of produce()) {
    hash.update(piece)
    size += piece.length
    if (size <= keptSizeBytes) kept?.push(Buffer.from(piece))
    else kept = undefined
  }
  const pieces = kept
  const digest = `sha256:${hash.digest('hex')}` as Digest
  const bytes = pieces === undefined ? produce : () => Readable.from(pieces)
  return { descriptor: { mediaType, digest, size }, bytes }
}

function gzipOf(bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return Readable.from(bytes).pipe(createGzip({ level: 1 }))
}

/** The bytes of a file: zeros, or the AES-CTR key stream of the seed, which no compression makes smaller. */
function* contentOf(
  seed: string,
  layer: { readonly sizeBytes: number; readonly content?: 'random' | 'zeros' },
): Generator<Uint8Array> {
  const key = createHash('sha256').update(seed).digest().subarray(0, 16)
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16))
  const zeros = Buffer.alloc(pieceSizeBytes)
  for (let left = layer.sizeBytes; left > 0; left -= pieceSizeBytes) {
    const piece = zeros.subarray(0, Math.min(left, pieceSizeBytes))
    yield layer.content === 'zeros' ? piece : cipher.update(piece)
  }
}
