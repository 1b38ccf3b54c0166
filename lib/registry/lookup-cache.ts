import { LRUCache } from 'lru-cache'
import type { LookupAnswer, LookupQuery, RegistryControl } from '../core/lookup.ts'

const maxAnswers = 2048
const maxAgeMs = 1000

export interface CachingControl extends RegistryControl {
  /** Members, the catalog or what is mirrored have changed: what was answered before does not count. */
  forgetLookups(): void
}

/**
 * Keeps the control plane's answers for hot digests for a moment. Only where something was found, and either it is here or there is no
 * choice between holders: many answers with the same first holder would drown it.
 */
export function withLookupCache(control: RegistryControl, now: () => number): CachingControl {
  const answers = new LRUCache<string, LookupAnswer>({
    max: maxAnswers,
    ttl: maxAgeMs,
    ttlResolution: 0,
    perf: { now },
  })
  let generation = 0

  async function lookup(query: LookupQuery): Promise<LookupAnswer> {
    const { registry = '', target, fromPeer } = query
    const what = target.kind === 'digest' ? target.digest : target.tag
    const key = `${registry} ${target.repository} ${what} ${fromPeer}`
    const known = query.fresh === true ? undefined : answers.get(key)
    if (known !== undefined) return known
    const asked = generation
    const answer = await control.lookup(query)
    const isKept =
      answer.found && (answer.local || answer.candidates.length < 2) && answer.flight === undefined
    if (asked === generation && isKept) answers.set(key, answer)
    return answer
  }

  return {
    ...control,
    lookup,
    missing(digest) {
      answers.clear()
      control.missing(digest)
    },
    transferred(report) {
      if (report.outcome !== 'complete') answers.clear()
      control.transferred(report)
    },
    forgetLookups() {
      generation++
      answers.clear()
    },
  }
}
