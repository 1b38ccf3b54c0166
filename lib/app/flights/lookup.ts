import type { Candidate, LookupAnswer, LookupQuery } from '../../core/lookup.ts'
import { isReachable, type Member } from '../../core/peer.ts'
import type { PeerId } from '../../core/peer-id.ts'
import { toCandidate } from '../registry/candidate.ts'
import type { FlightsService } from './service.ts'

/** With more holders than this there is room for everybody. */
const maxArrangedHolders = 3

/**
 * What flights make of an answer of the catalog. A peer may have what this node is getting itself; a local client that wants what
 * nobody has, or what few have, gets what the steward says. Everything else stays as it was.
 */
export async function flyingAnswer(
  query: LookupQuery,
  answer: LookupAnswer,
  flights: Pick<FlightsService, 'claim' | 'serves'>,
  memberOf: (peerId: PeerId) => Member | undefined,
): Promise<LookupAnswer> {
  const { target, fromPeer, claim } = query
  const { registry } = answer
  if (target.kind !== 'digest' || registry === undefined) return answer
  const { digest } = target
  const key = { registry, digest }
  if (fromPeer) {
    if (answer.found || answer.miss !== 'not-local' || !flights.serves(key)) return answer
    return { found: true, registry, digest, local: false, candidates: [], holders: 0, flight: 'serve' }
  }
  if (claim === undefined) return answer
  if (answer.found ? answer.local || answer.holders > maxArrangedHolders : answer.miss !== 'no-holder')
    return answer
  const { lost } = claim
  const known = answer.found ? answer.candidates.filter(({ peer }) => !lost.includes(peer.peerId)) : []
  const holders = known.map(({ peer }) => peer.peerId)
  const verdict = await flights.claim(key, { lost, holders })
  if (verdict?.role === 'follow') {
    const followed = followedAnswer(answer, known, verdict.parent)
    if (followed !== undefined) return followed
    const parent = memberOf(verdict.parent)
    if (parent !== undefined && isReachable(parent.state) && parent.record.registryPort !== 0) {
      const candidates = [toCandidate(parent)]
      return {
        found: true,
        registry,
        digest,
        local: false,
        candidates,
        holders: holders.length,
        flight: 'follow',
      }
    }
  }
  if (answer.found) return known.length > 0 ? { ...answer, candidates: known } : nobodyElse(answer)
  if (verdict?.role !== 'lead') return answer
  return { ...answer, detail: `${answer.detail}; this node gets it from upstream, and others may follow it` }
}

/** The parent holds all of it: it is asked first, and the other holders stand in. */
function followedAnswer(
  answer: LookupAnswer,
  known: readonly Candidate[],
  parent: PeerId,
): LookupAnswer | undefined {
  const holder = known.find(({ peer }) => peer.peerId === parent)
  if (!answer.found || holder === undefined) return undefined
  return { ...answer, candidates: [holder, ...known.filter((other) => other !== holder)] }
}

function nobodyElse({ registry, digest }: { registry: string; digest: string }): LookupAnswer {
  return {
    found: false,
    registry,
    miss: 'no-holder',
    detail: `no other live node of the cluster holds ${digest} of ${registry}`,
  }
}
