import { type Digest, isDigest } from '../core/digest.ts'
import type { ImageTarget } from '../core/image-writer.ts'
import { mediaTypes } from '../core/media-types.ts'
import { formatReference, isRegistryHost, tryParseReference } from '../core/reference.ts'

/** A descriptor in a manifest, an index or index.json. */
export interface Descriptor extends ImageTarget {
  readonly platform: Platform | undefined
}

export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant: string | undefined
}

/** One image of a docker-archive (moby, `docker save`). */
export interface DockerImage {
  readonly config: string
  readonly layers: readonly string[]
  readonly names: readonly string[]
}

const layerTypes = {
  none: 'application/vnd.docker.image.rootfs.diff.tar',
  gzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  zstd: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
} as const

/** Undefined where the bytes are no JSON. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    return undefined
  }
}

export function parseDescriptor(value: unknown): Descriptor | undefined {
  const { mediaType, digest, size, platform } = (value ?? {}) as Record<string, unknown>
  if (typeof digest !== 'string' || !isDigest(digest)) return undefined
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return undefined
  const type = typeof mediaType === 'string' ? mediaType : mediaTypes.ociManifest
  return { mediaType: type, digest, sizeBytes: size, platform: parsePlatform(platform) }
}

function parsePlatform(value: unknown): Platform | undefined {
  const { os, architecture, variant } = (value ?? {}) as Record<string, unknown>
  if (typeof os !== 'string' || typeof architecture !== 'string') return undefined
  return { os, architecture, variant: typeof variant === 'string' ? variant : undefined }
}

/** The images of a docker-archive's manifest.json; undefined where it is none. */
export function parseDockerImages(bytes: Uint8Array): readonly DockerImage[] | undefined {
  const list = parseJson(bytes)
  if (!Array.isArray(list) || list.length === 0) return undefined
  const images: DockerImage[] = []
  for (const entry of list) {
    const { Config: config, Layers: layers, RepoTags: names } = (entry ?? {}) as Record<string, unknown>
    if (
      typeof config !== 'string' ||
      !isTexts(layers) ||
      !(names === null || names === undefined || isTexts(names))
    )
      return undefined
    images.push({ config, layers, names: names ?? [] })
  }
  return images
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string')
}

/** The media type of a layer of a docker-archive, by how its bytes begin. */
export function dockerLayerType(head: Uint8Array): string {
  if (head[0] === 0x1f && head[1] === 0x8b) return layerTypes.gzip
  const isZstd = head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd
  return isZstd ? layerTypes.zstd : layerTypes.none
}

/** The manifest of an image of a docker-archive, byte for byte that of containerd's importer. */
export function dockerManifest(
  config: { digest: Digest; sizeBytes: number },
  layers: readonly ImageTarget[],
): Uint8Array {
  const descriptor = ({ mediaType, digest, sizeBytes }: ImageTarget) => ({
    mediaType,
    digest,
    size: sizeBytes,
  })
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.dockerManifest,
      config: descriptor({ ...config, mediaType: 'application/vnd.docker.container.image.v1+json' }),
      layers: layers.map(descriptor),
    }),
  )
}

/** The full name of an image as containerd stores it, `latest` added; undefined where it is none. */
export function fullName(text: string): string | undefined {
  const reference = tryParseReference(text)
  if (reference === undefined) return undefined
  const tagless = reference.tag === undefined && reference.digest === undefined
  return formatReference(tagless ? { ...reference, tag: 'latest' } : reference)
}

/** The full name that the annotations of a descriptor give (containerd's, or OCI's where it has a registry). */
export function annotatedName(value: unknown): string | undefined {
  const annotations = ((value as { annotations?: unknown } | null)?.annotations ?? {}) as Record<
    string,
    unknown
  >
  const full = annotations['io.containerd.image.name']
  if (typeof full === 'string') return fullName(full)
  const name = annotations['org.opencontainers.image.ref.name']
  if (typeof name !== 'string') return undefined
  const host = name.slice(0, Math.max(0, name.indexOf('/')))
  return (host === 'localhost' || /[.:]/.test(host)) && isRegistryHost(host) ? fullName(name) : undefined
}
