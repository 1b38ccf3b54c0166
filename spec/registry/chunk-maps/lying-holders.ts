import { type ChunkMap, ChunkMapMaker, encodeChunkMap } from '../../../lib/core/chunk-map.ts'
import type { CredentialSet } from '../../../lib/core/credentials.ts'
import { digestToBytes } from '../../../lib/core/digest.ts'
import type { Candidate } from '../../../lib/core/lookup.ts'
import { candidateOf, digestOf } from '../harness.ts'
import { startHostilePeer } from '../hostile-peer.ts'

export interface Lie {
  readonly bytes: Buffer
  /** Matches the lie, but for its last prefix, which must be the digest. */
  readonly map: Uint8Array
}

/** A blob with one wrong byte. */
export function lieAt(blob: Buffer, at: number): Lie {
  const bytes = Buffer.from(blob)
  bytes[at] = (bytes[at] ?? 0) ^ 0x20
  const maker = new ChunkMapMaker(digestOf(bytes))
  maker.update(bytes)
  const { pieces, prefixes } = maker.finish() as ChunkMap
  const digest = digestOf(blob)
  prefixes.set(digestToBytes(digest), prefixes.length - 32)
  return { bytes, map: encodeChunkMap({ digest, sizeBytes: blob.length, pieces, prefixes }) }
}

export interface HolderScript {
  /** What it sends where a part is asked for, and where the whole is. */
  readonly parts: Buffer
  readonly whole: Buffer
  /** Absent: it has none. */
  readonly map?: Uint8Array | undefined
}

export interface ScriptedHolder extends AsyncDisposable {
  readonly candidate: Candidate
}

/** A holder with right certificates that sends what its script says. */
export async function startScriptedHolder(
  credentials: CredentialSet,
  host: string,
  blob: Buffer,
  { parts, whole, map }: HolderScript,
): Promise<ScriptedHolder> {
  const peer = await startHostilePeer(
    credentials,
    host,
    blob,
    ({ request, response, start, body, head }) => {
      if (request.url?.includes('chunk-map=1') !== true) {
        head()
        response.end((request.headers.range === undefined ? whole : parts).subarray(start, body.length))
      } else if (map === undefined) response.writeHead(404, { 'content-length': 0 }).end()
      else {
        const type = 'application/vnd.starling.chunk-map.v1'
        response.writeHead(200, { 'content-type': type, 'content-length': map.length }).end(map)
      }
    },
    { maps: true },
  )
  return {
    candidate: candidateOf(credentials, peer.endpoint),
    [Symbol.asyncDispose]: () => peer[Symbol.asyncDispose](),
  }
}
