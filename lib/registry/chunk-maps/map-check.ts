import { type ChunkMap, chunkMapKey, isMappable } from '../../core/chunk-map.ts'
import type { Metrics } from '../../core/ports.ts'
import { voteOnMaps } from '../../selection/map-vote.ts'
import { maxBufferedSizeBytes } from '../body-check.ts'
import type { PeerClient } from '../peer-client.ts'
import { type CheckJob, type StartCheck, startDigestCheck, type TransferCheck } from '../transfer-check.ts'
import type { DisputedClaim, Disputes } from './dispute.ts'
import { askForMap, askForPart } from './map-question.ts'
import { edgesOf, PieceCheck } from './piece-check.ts'

export interface MapCheckDeps {
  readonly peers: Pick<PeerClient, 'open'>
  readonly disputes: Pick<Disputes, 'settle'>
  readonly metrics: Metrics
}

/** How many maps of one blob are voted on; for a holder that has none another one is asked. */
const maxVotes = 3
/** Maps that take longer don't count where others came; alone, a map proves nothing, so that a second one is waited for. */
const mapTimeoutMs = 500
const secondMapTimeoutMs = 1500

/**
 * Large blobs are checked piece by piece against the map that most of up to three holders agree on. Where they disagree and
 * nobody is in the majority, nobody is believed; where fewer than two have a map, the digest of the whole must do.
 */
export function createMapCheck(deps: MapCheckDeps): StartCheck {
  const { metrics, disputes } = deps

  function count(check: 'pieces' | 'digest' | 'unchecked' | 'tied'): void {
    metrics.count('starling_integrity_received_total', { check })
  }

  function withoutMap(job: CheckJob): TransferCheck {
    const check = startDigestCheck(job)
    count(check.checks ? 'digest' : 'unchecked')
    return check
  }

  async function withMap(job: CheckJob): Promise<TransferCheck> {
    const { digest, path, body } = job
    const waiting = job.candidates.filter(({ reach }) => reach === 'complete')
    const claims: DisputedClaim[] = []
    const maps = new Map<string, ChunkMap>()
    const { promise: decided, resolve: decide } = Promise.withResolvers<void>()
    // The silent ones are not waited for once two agree: of three they can't turn the vote.
    const enough = new AbortController()
    let late = false
    const ask = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined && !enough.signal.aborted; next = waiting.shift()) {
        const { peer } = next
        const signal = AbortSignal.any([job.signal, enough.signal])
        const map = await askForMap({ peers: deps.peers, peer, path, signal }, digest, body.sizeBytes)
        if (map === undefined || enough.signal.aborted) continue
        const key = chunkMapKey(map)
        claims.push({ peer, key })
        if (maps.has(key) || (claims.length >= 2 && late)) decide()
        maps.set(key, map)
        return
      }
    }
    const first = setTimeout(() => {
      late = true
      if (claims.length >= 2) decide()
    }, mapTimeoutMs)
    const last = setTimeout(decide, secondMapTimeoutMs)
    void Promise.all(Array.from({ length: maxVotes }, ask)).then(() => decide())
    await decided
    clearTimeout(first)
    clearTimeout(last)
    enough.abort()
    const { signal } = job
    const verdict = voteOnMaps(claims)
    if (verdict.type === 'too-few') return withoutMap(job)
    if (maps.size > 1) disputes.settle(digest, path, claims)
    if (verdict.type === 'tied') {
      count('tied')
      return disbelief
    }
    const edges = edgesOf(body)
    for (const peer of verdict.backers) {
      const question = { peers: deps.peers, peer, path, signal }
      const [before, after] = await Promise.all([
        askForPart(question, edges.before),
        askForPart(question, edges.after),
      ])
      if (before === undefined || after === undefined) continue
      count('pieces')
      return new PieceCheck(body, maps.get(verdict.key) as ChunkMap, { before, after })
    }
    return withoutMap(job)
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
