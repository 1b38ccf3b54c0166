import type { IncomingMessage } from 'node:http'
import { type ChunkMap, decodeChunkMap, maxChunkMapSizeBytes } from '../../core/chunk-map.ts'
import type { Digest } from '../../core/digest.ts'
import type { CandidatePeer } from '../../core/lookup.ts'
import { discardBody } from '../peer-body.ts'
import type { PeerClient } from '../peer-client.ts'

/** Media type of an encoded chunk map. */
export const chunkMapType = 'application/vnd.starling.chunk-map.v1'
/** Query by which a peer asks for the map of a blob instead of the blob. */
export const chunkMapQuery = 'chunk-map=1'

export interface PeerQuestion {
  readonly peers: Pick<PeerClient, 'open'>
  readonly peer: CandidatePeer
  /** Path and query of the blob. */
  readonly path: string
  readonly signal: AbortSignal
}

/** The map that a holder has of a blob; undefined where it has none, or none that makes sense. Never rejects. */
export async function askForMap(
  question: PeerQuestion,
  digest: Digest,
  sizeBytes: number,
): Promise<ChunkMap | undefined> {
  const path = `${question.path}&${chunkMapQuery}`
  const bytes = await askForBytes({ ...question, path }, undefined, maxChunkMapSizeBytes(sizeBytes))
  if (bytes === undefined) return undefined
  try {
    const map = decodeChunkMap(bytes, digest)
    return map.sizeBytes === sizeBytes ? map : undefined
  } catch {
    return undefined
  }
}

/** Bytes `start` to `end`, excluded, of a blob. Undefined where they did not come. Never rejects. */
export async function askForPart(
  question: PeerQuestion,
  part: { readonly start: number; readonly end: number },
): Promise<Uint8Array | undefined> {
  const length = part.end - part.start
  if (length <= 0) return new Uint8Array()
  const bytes = await askForBytes(question, `bytes=${part.start}-${part.end - 1}`, length)
  return bytes?.length === length ? bytes : undefined
}

async function askForBytes(
  question: PeerQuestion,
  range: string | undefined,
  maxSizeBytes: number,
): Promise<Uint8Array | undefined> {
  const { peers, peer, path, signal } = question
  const answer = await peers.open({ peer, method: 'GET', path, range, signal })
  if (!answer.ok) return undefined
  const { message } = answer
  const right = range === undefined ? message.headers['content-type'] === chunkMapType : true
  if (message.statusCode !== (range === undefined ? 200 : 206) || !right) {
    discardBody(message)
    return undefined
  }
  return readBounded(message, maxSizeBytes)
}

async function readBounded(message: IncomingMessage, maxSizeBytes: number): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = []
  let sizeBytes = 0
  try {
    for await (const chunk of message as AsyncIterable<Uint8Array>) {
      sizeBytes += chunk.length
      if (sizeBytes > maxSizeBytes) return undefined
      chunks.push(chunk)
    }
  } catch {
    return undefined
  }
  return Buffer.concat(chunks)
}
