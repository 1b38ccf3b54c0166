import { encodeChunkMap } from '../../core/chunk-map.ts'
import type { Digest } from '../../core/digest.ts'
import type { Exchange, RegistryServices } from '../exchange.ts'
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
  const guard = blob === undefined ? undefined : await services.integrity?.guard(digest, blob)
  blob?.close()
  if (guard?.kind === 'damaged') services.integrity?.damaged(digest)
  if (guard?.kind !== 'map') {
    const message = `this node has no chunk map of ${digest}`
    exchange.fail({ status: 404, code: 'BLOB_UNKNOWN', message })
    return
  }
  const bytes = encodeChunkMap(guard.local.map)
  exchange.source = 'local'
  exchange.reason = 'its chunk map'
  exchange.contentHead(digest, chunkMapType, bytes.length)
  if (!exchange.request.head) exchange.out.write(bytes)
  exchange.out.finish()
}
