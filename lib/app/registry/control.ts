import {
  type CatalogService,
  isMirrored,
  type MembershipService,
  type MirrorSet,
  type PeerHint,
} from '../../core/cluster.ts'
import type { Digest } from '../../core/digest.ts'
import type {
  Candidate,
  ListAnswer,
  ListQuery,
  LookupAnswer,
  LookupMiss,
  LookupQuery,
  RegistryControl,
  RequestReport,
  TransferReport,
} from '../../core/lookup.ts'
import { isReachable, type Member } from '../../core/peer.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Clock, Logger, Metrics } from '../../core/ports.ts'
import { canonicalRegistry, type OfferFilter } from '../../core/reference.ts'
import type { TagRules } from '../../core/settings.ts'
import { flyingAnswer } from '../flights/lookup.ts'
import type { FlightsService } from '../flights/service.ts'
import type { QuarantineService } from '../quarantine/service.ts'
import { toCandidate } from './candidate.ts'
import type { HeardTimes } from './heard-times.ts'
import { majorityDigest } from './majority.ts'

/** How many holders one request may try, at most. */
const maxCandidates = 8

/** Puts holders in the order in which they should be asked, and learns from how transfers go (lib/selection). */
export interface CandidateOrdering {
  order(members: readonly Member[]): readonly Member[]
  started(peerId: PeerId): void
  learn(report: TransferReport): void
}

export interface RegistryControlOptions {
  readonly catalog: CatalogService
  readonly membership: MembershipService
  readonly mirrors: () => MirrorSet
  /** When a peer was heard last: by its messages, and by the bytes that it gives. */
  readonly heard?: HeardTimes
  /** Default: every tag on which the nodes agree, and no other. */
  readonly tagRules?: (registry: string) => TagRules
  readonly filter: OfferFilter
  readonly order: CandidateOrdering
  /** Absent: nobody is ever kept out. */
  readonly quarantine?: Pick<QuarantineService, 'has' | 'size' | 'condemn'>
  /** Absent: nothing flies. */
  readonly flights?: Pick<FlightsService, 'claim' | 'serves' | 'note'>
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  /** Hears of each request, too. */
  readonly requested?: ((report: RequestReport) => void) | undefined
  /** The store lost a blob that the catalog still offers. */
  readonly onMissing: (digest: Digest) => void
  readonly onDamaged: (digest: Digest) => void
  readonly onUnmapped: (digest: Digest) => void
}

const hints: Readonly<Record<TransferReport['outcome'], PeerHint | undefined>> = {
  complete: 'answered',
  refused: 'answered',
  unreachable: 'refused',
  broken: 'closed',
  stalled: 'stalled',
  'wrong-bytes': undefined,
  disputed: 'answered',
  cancelled: undefined,
  slow: 'answered',
  busy: 'answered',
}

/**
 * The control plane's side of the registry: answers "who holds this, in what order" from local memory alone, and turns
 * the registry's reports into one log line a request, metrics and hints for membership.
 */
export function createRegistryControl(options: RegistryControlOptions): RegistryControl {
  const { catalog, membership, mirrors, filter, order, quarantine, clock, log, metrics } = options

  function miss(registry: string | undefined, why: LookupMiss, detail: string) {
    return { found: false, registry, miss: why, detail } as const
  }

  /** The registry that a request means, or the answer that says why there is none. */
  function findRegistry(asked: string | undefined, repository: string | undefined) {
    if (asked !== undefined) {
      const registry = canonicalRegistry(asked)
      return isMirrored(mirrors(), registry)
        ? registry
        : miss(registry, 'not-mirrored', `${registry} is not mirrored on this node`)
    }
    if (repository === undefined) {
      const names = catalog.registries()
      return names.length === 1 && names[0] !== undefined
        ? names[0]
        : miss(
            undefined,
            'ambiguous-registry',
            `say which registry is meant with ?ns=, one of: ${names.join(', ')}`,
          )
    }
    const known = catalog.registryOf(repository)
    if (known === 'ambiguous') {
      const detail = `several mirrored registries know the repository ${repository}; say which one with ?ns=`
      return miss(undefined, 'ambiguous-registry', detail)
    }
    return known ?? miss(undefined, 'no-registry', `no mirrored registry knows the repository ${repository}`)
  }

  function findTag(registry: string, repository: string, tag: string) {
    const name = `${registry}/${repository}:${tag}`
    if (!filter.offers(registry, repository, tag)) {
      const detail = `${name} is never answered from peers: ${tag === 'latest' ? 'shareLatest is off, or ' : ''}it matches excludeReferences`
      return miss(registry, 'excluded', detail)
    }
    const rules = options.tagRules?.(registry)
    if (rules?.resolve === false) {
      return miss(registry, 'excluded', `tags of ${registry} are not answered from peers: resolveTags is off`)
    }
    const found = catalog.findTag(registry, repository, tag)
    if (found.state === 'agreed') return found.digest
    if (found.state === 'unknown') {
      return miss(registry, 'unknown-tag', `no live node of the cluster announces ${name}`)
    }
    const sides = found.sides.map((side) => `${side.digest} on ${side.holders}`).join(', ')
    const chosen = rules?.disputed === 'majority' ? majorityDigest(found.sides) : undefined
    if (chosen !== undefined) {
      metrics.count('starling_disputed_tags_answered_total')
      log.warn(
        { reference: name, sides, digest: chosen },
        'the nodes disagree on a tag; the majority is served',
      )
      return chosen
    }
    return miss(registry, 'tag-disputed', `the nodes disagree on ${name} (${sides}), so upstream decides`)
  }

  /** Of a peer in quarantine nothing is taken. */
  function memberOf(peerId: PeerId): Member | undefined {
    return quarantine?.has(peerId) === true ? undefined : membership.get(peerId)
  }

  function candidatesFor(registry: string, digest: Digest): { candidates: Candidate[]; holders: number } {
    const limit = (quarantine?.size() ?? 0) === 0 ? maxCandidates : 4 * maxCandidates
    const sample = catalog.findHolders(registry, digest, limit)
    const members = sample.peers.flatMap((peerId) => {
      const member = memberOf(peerId)
      const usable = member !== undefined && isReachable(member.state) && member.record.registryPort !== 0
      return usable && !member.self ? [member] : []
    })
    const candidates = order.order(members).map((member) => {
      const heardAgoMs = options.heard?.agoMs(member.record.peerId)
      return { ...toCandidate(member), ...(heardAgoMs === undefined ? {} : { heardAgoMs }) }
    })
    return { candidates, holders: sample.holders }
  }

  function lookup(query: LookupQuery): LookupAnswer {
    const { target, fromPeer } = query
    const registry = findRegistry(query.registry, target.repository)
    if (typeof registry !== 'string') return registry
    const digest = target.kind === 'digest' ? target.digest : findTag(registry, target.repository, target.tag)
    if (typeof digest !== 'string') return digest
    const local = catalog.hasLocal(registry, digest)
    if (fromPeer) {
      return local
        ? { found: true, registry, digest, local, candidates: [], holders: 0 }
        : miss(registry, 'not-local', `this node does not hold ${digest} of ${registry}`)
    }
    if (!local) catalog.expect(registry, digest)
    const { candidates, holders } = candidatesFor(registry, digest)
    if (local || candidates.length > 0) return { found: true, registry, digest, local, candidates, holders }
    if (holders > 0) {
      const detail = `${holders === 1 ? 'the node that holds' : `the ${holders} nodes that hold`} ${digest} of ${registry} cannot be asked now: in quarantine for wrong bytes (see starling peers), or not reachable`
      return miss(registry, 'no-holder', detail)
    }
    const mirroring = catalog.summaries().find((summary) => summary.registry === registry)?.origins ?? 0
    const who = `${mirroring} ${mirroring === 1 ? 'node shares' : 'nodes share'} it`
    return miss(registry, 'no-holder', `no live node of the cluster holds ${digest} of ${registry} (${who})`)
  }

  function list(query: ListQuery): ListAnswer {
    const registry = findRegistry(query.registry, query.repository)
    if (typeof registry !== 'string') return registry
    if (query.repository === undefined) {
      return { found: true, registry, names: catalog.repositories(registry) }
    }
    const tags = catalog.tags(registry, query.repository)
    return tags.length === 0
      ? miss(registry, 'unknown-tag', `no live node announces a tag of ${registry}/${query.repository}`)
      : { found: true, registry, names: tags }
  }

  return {
    async lookup(query) {
      const started = clock.monotonicMs()
      const answer = lookup(query)
      const result = answer.found ? (answer.local ? 'local' : 'peer') : answer.miss
      metrics.observe('starling_lookup_duration_seconds', (clock.monotonicMs() - started) / 1000)
      metrics.count('starling_lookups_total', { result })
      const { flights } = options
      if (flights === undefined) return answer
      return flyingAnswer(query, answer, flights, memberOf)
    },
    async list(query) {
      return list(query)
    },
    async flight(note) {
      return (await options.flights?.note(note)) ?? 'lost'
    },
    transferStarted(peerId) {
      order.started(peerId)
    },
    transferred(report) {
      order.learn(report)
      if (report.outcome === 'complete') options.heard?.heard(report.peerId)
      const hint = hints[report.outcome]
      if (hint !== undefined) membership.hint(report.peerId, hint)
      metrics.count('starling_transfers_total', { outcome: report.outcome })
      metrics.count('starling_transfer_bytes_total', {}, report.bytes)
      if (report.outcome === 'wrong-bytes') {
        const name = membership.get(report.peerId)?.record.name
        const fields = { peer: name, peerId: report.peerId, ...report.wrong }
        log.error(fields, 'a peer sent bytes that do not match their digest')
        if (report.wrong !== undefined) quarantine?.condemn(report.peerId, report.wrong)
      }
    },
    requested(report) {
      logRequest(report, log)
      metrics.count('starling_requests_total', {
        method: report.method === 'GET' || report.method === 'HEAD' ? report.method : 'other',
        status: String(report.status),
        source: report.source,
        from: report.fromPeer ? 'peer' : 'client',
      })
      metrics.count('starling_request_bytes_total', { source: report.source }, report.bytes)
      metrics.observe('starling_request_duration_seconds', report.durationMs / 1000, {
        source: report.source,
      })
      if (report.incomplete) metrics.count('starling_requests_incomplete_total')
      options.requested?.(report)
    },
    missing(digest) {
      log.warn({ digest }, 'a blob that the catalog offers is gone from the store; listing the store anew')
      options.onMissing(digest)
    },
    damaged: options.onDamaged,
    unmapped: options.onUnmapped,
  }
}

function logRequest(report: RequestReport, log: Logger): void {
  const level = report.incomplete || report.status >= 500 ? 'warn' : 'info'
  log[level]({ ...report, durationMs: Math.round(report.durationMs * 10) / 10 }, 'request')
}
