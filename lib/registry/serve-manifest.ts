import { createHash } from 'node:crypto'
import type { LookupTarget } from '../core/lookup.ts'
import { parseManifest } from '../core/manifest.ts'
import { maxManifestSizeBytes } from '../core/media-types.ts'
import { wholeBody } from '../selection/wanted-bytes.ts'
import { isUnchanged } from './conditional.ts'
import type { Exchange, Found, RegistryServices } from './exchange.ts'
import { patient } from './flights/follow-flight.ts'
import { isCommitted } from './flights/serve-growing.ts'
import { fromPeersReason, giverNames, nobodyGaveIt, sharesOf } from './reasons.ts'
import type { RegistryRoute } from './request.ts'
import { openLocal, peerPath } from './sources.ts'
import { runTransfer } from './transfer.ts'
import type { Manifest } from './verified-cache.ts'

type ManifestRoute = Extract<RegistryRoute, { kind: 'manifest' }>

/**
 * `GET|HEAD /v2/<name>/manifests/<reference>` (OCI distribution specification, "Pulling manifests"). Manifests are always
 * whole in memory and checked against their digest before anything is said of them, for HEAD too.
 */
export async function serveManifest(
  exchange: Exchange,
  services: RegistryServices,
  route: ManifestRoute,
): Promise<void> {
  const target: LookupTarget =
    'tag' in route
      ? { kind: 'tag', repository: route.name, tag: route.tag }
      : { kind: 'digest', repository: route.name, digest: route.digest }
  const found = await exchange.lookup(services, target, 'manifest')
  if (found === undefined) return
  const { digest } = found
  if (isUnchanged(exchange.headers['if-none-match'], digest)) {
    exchange.notModified(digest)
    return
  }
  const known = services.cache.descriptor(digest)
  if (exchange.request.head && known?.manifestType !== undefined) {
    exchange.source = 'memory'
    exchange.reason = 'it is known'
    exchange.contentHead(digest, known.manifestType, known.sizeBytes)
    exchange.out.finish()
    return
  }
  const manifest = await findManifest(exchange, services, route.name, found)
  if (manifest === undefined) return
  exchange.contentHead(digest, manifest.mediaType, manifest.bytes.length)
  if (!exchange.request.head) exchange.out.write(manifest.bytes)
  exchange.out.finish()
}

/** The manifest from memory, the store or a peer; undefined where there is none and the client was told so. */
async function findManifest(
  exchange: Exchange,
  services: RegistryServices,
  name: string,
  found: Found,
): Promise<Manifest | undefined> {
  const cached = services.cache.manifest(found.digest)
  if (cached !== undefined) {
    exchange.source = 'memory'
    exchange.reason = 'checked before, from memory'
    return cached
  }
  const here = found.flight === 'serve' && (await isCommitted(exchange, services, found.digest))
  const local = await readLocal(exchange, services, here ? { ...found, local: true } : found)
  if (local === 'answered') return undefined
  const bytes = local ?? (await readFromPeers(exchange, services, name, found))
  if (bytes === undefined) return undefined
  const parsed = parseManifest(bytes)
  if (parsed === undefined) {
    notManifest(exchange, found)
    return undefined
  }
  services.cache.claimSizes(parsed)
  const manifest = { bytes, mediaType: parsed.mediaType }
  services.cache.putManifest(found.digest, manifest)
  return manifest
}

async function readLocal(
  exchange: Exchange,
  services: RegistryServices,
  found: Found,
): Promise<Uint8Array | 'answered' | undefined> {
  const blob = await openLocal(exchange, services, found)
  if (blob === undefined) return undefined
  try {
    if (blob.sizeBytes > maxManifestSizeBytes) {
      notManifest(exchange, found)
      return 'answered'
    }
    const bytes = await blob.readAll()
    if (
      bytes !== undefined &&
      `sha256:${createHash('sha256').update(bytes).digest('hex')}` === found.digest
    ) {
      exchange.source = 'local'
      exchange.reason = 'from the local store'
      return bytes
    }
  } catch {
    // The same as a manifest that is not there.
  } finally {
    blob.close()
  }
  services.control.missing(found.digest)
  return undefined
}

async function readFromPeers(
  exchange: Exchange,
  services: RegistryServices,
  name: string,
  found: Found,
): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = []
  const result = await runTransfer(
    {
      digest: found.digest,
      path: peerPath('manifests', name, found),
      wanted: wholeBody,
      candidates: found.candidates,
      maxSizeBytes: maxManifestSizeBytes,
      begunSizeBytes: undefined,
      unranged: true,
      urgent: true,
      signal: exchange.out.signal,
    },
    { begin: () => {}, write: (chunk) => chunks.push(chunk) > 0, drained: () => Promise.resolve() },
    found.flight === 'follow' ? patient(services) : services,
  )
  if (result.outcome !== 'finished') {
    exchange.fail(nobodyGaveIt(found, result.attempts, 'MANIFEST_UNKNOWN'))
    return undefined
  }
  exchange.source = 'peer'
  exchange.reason = fromPeersReason(found, result.attempts)
  exchange.peers = giverNames(result.attempts)
  exchange.shares = sharesOf(result.attempts)
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)
}

function notManifest(exchange: Exchange, found: Found): void {
  exchange.fail({
    status: 404,
    code: 'MANIFEST_UNKNOWN',
    message: `${found.digest} of ${found.registry} is not a manifest; ask for it under blobs/`,
    detail: { reason: 'not-a-manifest', registry: found.registry },
  })
}
