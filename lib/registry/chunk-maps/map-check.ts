import { isMappable } from '../../core/chunk-map.ts'
import type { CandidatePeer } from '../../core/lookup.ts'
import type { Metrics } from '../../core/ports.ts'
import { maxBufferedSizeBytes } from '../body-check.ts'
import type { BufferPool } from '../buffer-pool.ts'
import type { PeerClient } from '../peer-client.ts'
import { type CheckJob, type StartCheck, startDigestCheck, type TransferCheck } from '../transfer-check.ts'
import type { AgreedMaps } from './agreed-maps.ts'
import { askForPart } from './map-question.ts'
import { edgesOf, PieceCheck, type PieceEdges } from './piece-check.ts'

export interface MapCheckDeps {
  readonly peers: Pick<PeerClient, 'open'>
  readonly maps: Pick<AgreedMaps, 'find'>
  readonly metrics: Metrics
  /** Buffers of the size of a piece. */
  readonly pieces: BufferPool
}

/**
 * Large blobs are checked piece by piece against the map that most of up to three holders agree on. Where they disagree and
 * nobody is in the majority, nobody is believed; where fewer than two have a map, the digest of the whole must do.
 */
export function createMapCheck(deps: MapCheckDeps): StartCheck {
  const { metrics, maps } = deps

  function count(check: 'pieces' | 'digest' | 'unchecked' | 'tied'): void {
    metrics.count('starling_integrity_received_total', { check })
  }

  function withoutMap(job: CheckJob): TransferCheck {
    const check = startDigestCheck(job)
    count(check.checks ? 'digest' : 'unchecked')
    return check
  }

  /** From whichever holder gives them, those first who stand for the map. */
  async function findEdges(
    { body, path, signal, candidates }: CheckJob,
    backers: readonly CandidatePeer[],
  ): Promise<PieceEdges | undefined> {
    const { before, after } = edgesOf(body)
    const stands = new Set(backers.map(({ peerId }) => peerId))
    const peers = candidates.filter(({ reach }) => reach === 'complete').map(({ peer }) => peer)
    peers.sort((a, b) => Number(stands.has(b.peerId)) - Number(stands.has(a.peerId)))
    for (const peer of peers) {
      const question = { peers: deps.peers, peer, path, signal }
      const [first, last] = await Promise.all([askForPart(question, before), askForPart(question, after)])
      if (first !== undefined && last !== undefined) return { before: first, after: last }
    }
    return undefined
  }

  async function withMap(job: CheckJob): Promise<TransferCheck> {
    const agreement = await maps.find(job)
    if (agreement.type === 'too-few') return withoutMap(job)
    if (agreement.type === 'tied') {
      count('tied')
      return disbelief
    }
    const edges = await findEdges(job, agreement.backers)
    if (edges === undefined) return withoutMap(job)
    count('pieces')
    const check = new PieceCheck(job.body, agreement.map, edges, deps.pieces)
    job.signal.addEventListener('abort', () => check.end(), { once: true })
    return check
  }

  return (job) => {
    const { body, candidates } = job
    const whole = body.start === 0 && body.end === body.sizeBytes - 1
    const small = !isMappable(body.sizeBytes) || (whole && body.sizeBytes <= maxBufferedSizeBytes)
    return small || candidates.length < 2 ? withoutMap(job) : withMap(job)
  }
}

const disbelief: TransferCheck = {
  checks: false,
  refusal: 'the holders disagree on its bytes',
  pass: () => ({ free: [] }),
  finish: () => ({ wrongFrom: 'unknown', reason: 'the holders disagree on its bytes', proven: false }),
}
