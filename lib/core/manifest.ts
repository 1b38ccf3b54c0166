import { type Digest, isDigest } from './digest.ts'
import { isManifestMediaType, maxManifestSizeBytes, mediaTypes } from './media-types.ts'

/** What the bytes of a manifest or an index say, as far as a mirror needs it. */
export interface ParsedManifest {
  readonly mediaType: string
  /** Digests that it names, in order: config and layers of a manifest, manifests of an index. */
  readonly children: readonly Digest[]
  /** What it says of their sizes, in bytes and in the same order; NaN where it says nothing of use. */
  readonly childSizes?: readonly number[]
}

function childrenOf(list: readonly unknown[]): Required<Omit<ParsedManifest, 'mediaType'>> {
  const children: Digest[] = []
  const childSizes: number[] = []
  for (const entry of list) {
    const { digest, size } = (entry ?? {}) as { digest?: unknown; size?: unknown }
    if (typeof digest !== 'string' || !isDigest(digest)) continue
    children.push(digest)
    childSizes.push(Number.isSafeInteger(size) ? (size as number) : Number.NaN)
  }
  return { children, childSizes }
}

/**
 * Parses a manifest or index (OCI image specification, "Image Manifest" and "Image Index"; Docker schema 2).
 * Undefined where the bytes are neither: any blob may be asked.
 */
export function parseManifest(bytes: Uint8Array): ParsedManifest | undefined {
  if (bytes.length === 0 || bytes.length > maxManifestSizeBytes || bytes[0] !== 0x7b) return undefined
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    return undefined
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return undefined
  const document = json as Record<string, unknown>
  const declared =
    typeof document.mediaType === 'string' && isManifestMediaType(document.mediaType)
      ? document.mediaType
      : undefined
  if (Array.isArray(document.manifests)) {
    return { mediaType: declared ?? mediaTypes.ociIndex, ...childrenOf(document.manifests) }
  }
  if (Array.isArray(document.layers) && document.config !== undefined) {
    return {
      mediaType: declared ?? mediaTypes.ociManifest,
      ...childrenOf([document.config, ...(document.layers as unknown[])]),
    }
  }
  return undefined
}
