import { type ChunkMap, encodeChunkMap, isMappable } from '../../core/chunk-map.ts'
import type { Digest } from '../../core/digest.ts'
import type { Exchange, RegistryServices } from '../exchange.ts'
import type { LocalBlob } from '../local-store.ts'
import { openLocal } from '../sources.ts'
import { chunkMapType } from './map-question.ts'

/** The chunk map of a blob of this node, for another node. 404 where there is none. */
export async function serveChunkMap(
  exchange: Exchange,
  services: RegistryServices,
  name: string,
  digest: Digest,
): Promise<void> {
  const found = await exchange.lookup(services, { kind: 'digest', repository: name, digest }, 'blob')
  if (found === undefined) return
  const blob = exchange.request.fromPeer ? await openLocal(exchange, services, found) : undefined
  const map = blob === undefined ? undefined : await mapOf(services, digest, blob, exchange.out.signal)
  blob?.close()
  if (map === undefined) {
    const message = `this node has no chunk map of ${digest}`
    exchange.fail({ status: 404, code: 'BLOB_UNKNOWN', message })
    return
  }
  const bytes = encodeChunkMap(map)
  exchange.source = 'local'
  exchange.reason = 'its chunk map'
  exchange.contentHead(digest, chunkMapType, bytes.length)
  if (!exchange.request.head) exchange.out.write(bytes)
  exchange.out.finish()
}

async function mapOf(
  { integrity }: RegistryServices,
  digest: Digest,
  blob: LocalBlob,
  signal: AbortSignal,
): Promise<ChunkMap | undefined> {
  const guard = await integrity?.guard(digest, blob)
  if (guard?.kind === 'map') return guard.local.map
  if (guard?.kind === 'damaged') integrity?.damaged(digest)
  if (guard?.kind !== 'none' || !isMappable(blob.sizeBytes)) return undefined
  return (await integrity?.awaitMap(digest, blob, signal))?.map
}
