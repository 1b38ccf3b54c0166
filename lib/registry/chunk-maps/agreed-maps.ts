import { LRUCache } from 'lru-cache'
import { type ChunkMap, chunkMapKey } from '../../core/chunk-map.ts'
import type { Digest } from '../../core/digest.ts'
import type { CandidatePeer } from '../../core/lookup.ts'
import { voteOnMaps } from '../../selection/map-vote.ts'
import type { PeerClient } from '../peer-client.ts'
import type { CheckJob } from '../transfer-check.ts'
import type { DisputedClaim, Disputes } from './dispute.ts'
import { askForMap } from './map-question.ts'

export type MapAgreement =
  | { readonly type: 'agreed'; readonly map: ChunkMap; readonly backers: readonly CandidatePeer[] }
  | { readonly type: 'tied' }
  | { readonly type: 'too-few' }

export interface AgreedMapsDeps {
  readonly peers: Pick<PeerClient, 'open'>
  readonly disputes: Pick<Disputes, 'settle'>
}

/** How many maps of one blob are voted on; for a holder that has none another one is asked. */
const maxVotes = 3
/** Maps that take longer don't count where others came; alone, a map proves nothing, so that a second one is waited for. */
const mapTimeoutMs = 500
const secondMapTimeoutMs = 1500
/** A client that fetches a blob in ranges asks for them within this time. */
const keptForMs = 60_000
const maxKeptBytes = 8 * 2 ** 20

/**
 * The maps on which holders agree. Requests for ranges of one blob share the question, and a map against which nobody spoke is
 * kept for a moment: it would be asked for with each range.
 */
export class AgreedMaps {
  readonly #deps: AgreedMapsDeps
  readonly #kept = new LRUCache<Digest, Extract<MapAgreement, { type: 'agreed' }>>({
    maxSize: maxKeptBytes,
    sizeCalculation: ({ map }) => 2 * map.pieces.length + 1024,
    ttl: keptForMs,
  })
  readonly #asking = new Map<Digest, Promise<MapAgreement>>()

  constructor(deps: AgreedMapsDeps) {
    this.#deps = deps
  }

  /** Never rejects; takes a bounded time. */
  async find(job: Pick<CheckJob, 'digest' | 'path' | 'body' | 'candidates'>): Promise<MapAgreement> {
    const { digest, body } = job
    const kept = this.#kept.get(digest)
    if (kept !== undefined && kept.map.sizeBytes === body.sizeBytes) return kept
    let asking = this.#asking.get(digest)
    if (asking === undefined) {
      asking = this.#vote(job).finally(() => this.#asking.delete(digest))
      this.#asking.set(digest, asking)
    }
    const agreement = await asking
    // Another request may have been told another size of it.
    return agreement.type === 'agreed' && agreement.map.sizeBytes !== body.sizeBytes
      ? { type: 'tied' }
      : agreement
  }

  /** Bytes did not fit the map: the holders are asked anew. */
  forget(digest: Digest): void {
    this.#kept.delete(digest)
  }

  async #vote(job: Pick<CheckJob, 'digest' | 'path' | 'body' | 'candidates'>): Promise<MapAgreement> {
    const { digest, path } = job
    const { claims, maps } = await this.#collect(job)
    const verdict = voteOnMaps(claims)
    if (verdict.type !== 'too-few' && maps.size > 1) this.#deps.disputes.settle(digest, path, claims)
    if (verdict.type !== 'agreed') return verdict
    const { backers } = verdict
    const agreed = { type: 'agreed', map: maps.get(verdict.key) as ChunkMap, backers } as const
    if (maps.size === 1) this.#kept.set(digest, agreed)
    return agreed
  }

  /** The maps that up to three holders stand for, as far as they come in time. */
  async #collect({
    digest,
    path,
    body,
    candidates,
  }: Pick<CheckJob, 'digest' | 'path' | 'body' | 'candidates'>) {
    const waiting = candidates.filter(({ reach }) => reach === 'complete')
    const claims: DisputedClaim[] = []
    const maps = new Map<string, ChunkMap>()
    const { promise: decided, resolve: decide } = Promise.withResolvers<void>()
    // The silent ones are not waited for once two agree: of three they can't turn the vote.
    const enough = new AbortController()
    const { signal } = enough
    let late = false
    const ask = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined && !signal.aborted; next = waiting.shift()) {
        const { peer } = next
        const map = await askForMap({ peers: this.#deps.peers, peer, path, signal }, digest, body.sizeBytes)
        if (map === undefined || signal.aborted) continue
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
    return { claims, maps }
  }
}
