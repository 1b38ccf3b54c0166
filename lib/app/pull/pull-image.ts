import { type Descriptor, type Platform, parseDescriptor, parseJson } from '../../archive/documents.ts'
import { matches } from '../../archive/image-content.ts'
import { isDigest } from '../../core/digest.ts'
import { isIndexMediaType, treeBounds } from '../../core/image-tree.ts'
import type { ImageTarget } from '../../core/image-writer.ts'
import { maxManifestSizeBytes } from '../../core/media-types.ts'
import { formatReference, type Reference } from '../../core/reference.ts'
import { download, unavailable } from './download.ts'
import type { MirrorClient } from './mirror-client.ts'

export type PieceKind = 'index' | 'manifest' | 'config' | 'layer'

export interface Piece {
  readonly kind: PieceKind
  readonly target: ImageTarget
}

export interface PullImageOptions {
  readonly mirror: MirrorClient
  readonly reference: Reference
  readonly platform: Platform
  /** Takes the bytes of a piece to their end; their digest is checked on the way. */
  readonly take: (piece: Piece, bytes: AsyncIterable<Uint8Array>) => Promise<void>
  /** A name for each request for bytes. */
  readonly nextId?: () => string
}

/**
 * Pulls an image from the mirror of this machine the way containerd does: HEAD for what the name points to, the manifest,
 * of an index that of the platform, then configuration and layers.
 * @throws StarlingError NOT_FOUND with what is not available and why, PEER_UNREACHABLE, and what `take` throws
 */
export async function pullImage(options: PullImageOptions): Promise<ImageTarget> {
  const { mirror, reference, platform, take, nextId } = options
  const base = `/v2/${reference.repository}`
  const ns = `?ns=${encodeURIComponent(reference.registry)}`

  async function fetchManifest(target: ImageTarget): Promise<Record<string, unknown>> {
    const { digest, sizeBytes } = target
    const kind = isIndexMediaType(target.mediaType) ? 'index' : 'manifest'
    const what = `the ${kind} ${digest}`
    if (sizeBytes > maxManifestSizeBytes) throw unavailable(what, 'it is too large for a manifest')
    const chunks: Uint8Array[] = []
    const bytes = download(mirror, {
      path: `${base}/manifests/${digest}${ns}`,
      digest,
      sizeBytes,
      what,
      nextId,
    })
    await take({ kind, target }, tee(bytes, chunks))
    const document = parseJson(Buffer.concat(chunks))
    if (typeof document === 'object' && document !== null) return document as Record<string, unknown>
    throw unavailable(what, 'it is no manifest')
  }

  async function visit(target: ImageTarget, depth: number): Promise<void> {
    if (depth > treeBounds.maxDepth)
      throw unavailable(`the index ${target.digest}`, 'indexes are nested too deep')
    const document = await fetchManifest(target)
    if (Array.isArray(document.manifests)) {
      const children = document.manifests.flatMap((entry) => parseDescriptor(entry) ?? [])
      await visit(choose(children, platform, target), depth + 1)
      return
    }
    const config = parseDescriptor(document.config)
    const layers = Array.isArray(document.layers) ? document.layers.map(parseDescriptor) : [undefined]
    if (config === undefined || layers.includes(undefined)) {
      throw unavailable(`the manifest ${target.digest}`, 'it names no configuration and layers')
    }
    const seen = new Set<string>()
    for (const [index, blob] of [config, ...layers].entries()) {
      if (blob === undefined || seen.has(blob.digest)) continue
      seen.add(blob.digest)
      const { digest, sizeBytes } = blob
      const kind = index === 0 ? 'config' : 'layer'
      const what = `the ${index === 0 ? 'configuration' : 'layer'} ${digest}`
      const bytes = download(mirror, {
        path: `${base}/blobs/${digest}${ns}`,
        digest,
        sizeBytes,
        what,
        nextId,
      })
      await take({ kind, target: blob }, bytes)
    }
  }

  const root = await resolve(mirror, reference, `${base}/manifests/`, ns)
  await visit(root, 0)
  return root
}

/** What the name points to, as the mirror sees it. */
async function resolve(
  mirror: MirrorClient,
  reference: Reference,
  path: string,
  ns: string,
): Promise<ImageTarget> {
  const what = formatReference(reference)
  const asked = reference.digest ?? reference.tag ?? 'latest'
  const answer = await mirror.ask({ path: `${path}${asked}${ns}`, method: 'HEAD' })
  if (!answer.ok) throw unavailable(what, answer.reason)
  answer.body.resume()
  const { 'docker-content-digest': digest = '', 'content-type': mediaType = '' } = answer.headers
  const sizeBytes = Number(answer.headers['content-length'])
  if (typeof digest !== 'string' || !isDigest(digest) || !Number.isSafeInteger(sizeBytes)) {
    throw unavailable(what, 'the mirror does not say its digest and size')
  }
  return { mediaType, digest, sizeBytes }
}

function choose(children: readonly Descriptor[], platform: Platform, index: ImageTarget): Descriptor {
  const found = children.find((child) => child.platform !== undefined && matches(child.platform, platform))
  const chosen = found ?? children.find((child) => child.platform === undefined)
  if (chosen !== undefined) return chosen
  const there = children.flatMap(({ platform: of }) =>
    of === undefined ? [] : [`${of.os}/${of.architecture}`],
  )
  throw unavailable(
    `the image of ${platform.os}/${platform.architecture}`,
    `the index ${index.digest} has ${there.length === 0 ? 'no image' : [...new Set(there)].slice(0, 20).join(', ')}`,
  )
}

async function* tee(bytes: AsyncIterable<Uint8Array>, kept: Uint8Array[]): AsyncGenerator<Uint8Array> {
  for await (const chunk of bytes) {
    kept.push(chunk)
    yield chunk
  }
}
