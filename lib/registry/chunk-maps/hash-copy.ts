import { setTimeout as delay } from 'node:timers/promises'
import { type ChunkMap, ChunkMapMaker } from '../../core/chunk-map.ts'
import type { Digest } from '../../core/digest.ts'
import type { CandidatePeer } from '../../core/lookup.ts'
import { discardBody } from '../peer-body.ts'
import type { PeerClient } from '../peer-client.ts'

/** A copy that takes longer than this to come settles nothing. */
const copyTimeoutMs = 600_000
/** A holder that has no room now is asked again. */
const busyRetries = 5
const busyWaitMs = 1000

/**
 * Fetches the whole copy that a holder has of a blob and hashes it. Its map where it is right; undefined where it did not come whole.
 * `path`: path and query of the blob. Never rejects.
 */
export async function hashCopy(
  peers: Pick<PeerClient, 'open'>,
  peer: CandidatePeer,
  digest: Digest,
  path: string,
  abort: AbortSignal,
): Promise<ChunkMap | 'wrong' | undefined> {
  const signal = AbortSignal.any([abort, AbortSignal.timeout(copyTimeoutMs)])
  for (let retries = 0; ; retries++) {
    const answer = await peers.open({ peer, method: 'GET', path, range: undefined, signal })
    if (!answer.ok) return undefined
    const { message } = answer
    if (message.statusCode === 200) return hashBody(message, digest, signal)
    discardBody(message)
    if (message.statusCode !== 429 || retries === busyRetries) return undefined
    try {
      await delay(busyWaitMs, undefined, { signal })
    } catch {
      return undefined
    }
  }
}

async function hashBody(
  message: Extract<Awaited<ReturnType<PeerClient['open']>>, { ok: true }>['message'],
  digest: Digest,
  signal: AbortSignal,
): Promise<ChunkMap | 'wrong' | undefined> {
  const maker = new ChunkMapMaker(digest)
  const wanted = Number(message.headers['content-length'])
  let sizeBytes = 0
  const stop = (): void => void message.destroy()
  signal.addEventListener('abort', stop, { once: true })
  try {
    for await (const chunk of message as AsyncIterable<Uint8Array>) {
      sizeBytes += chunk.length
      maker.update(chunk)
    }
  } catch {
    return undefined
  } finally {
    signal.removeEventListener('abort', stop)
  }
  if (sizeBytes !== wanted) return undefined
  return maker.finish() ?? 'wrong'
}
