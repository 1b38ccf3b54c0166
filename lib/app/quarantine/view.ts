import type { AccusationView, QuarantineView } from '../../core/ops-view.ts'
import type { Accusation } from './accusations.ts'
import { describeEvidence } from './evidence.ts'
import type { QuarantineRecord } from './list.ts'
import type { QuarantineService } from './service.ts'

const maxLines = 5

const iso = (ms: number): string => new Date(ms).toISOString()

export function accusationView(accusation: Accusation): AccusationView {
  const { name, peerId, sinceMs, untilMs, digest, evidence } = accusation
  return {
    ...{ name, peerId, digest },
    since: iso(sinceMs),
    until: iso(untilMs),
    reason: describeEvidence(evidence),
  }
}

export function quarantineView(record: QuarantineRecord): QuarantineView {
  return { ...accusationView(record), times: record.times }
}

/** A line for each peer in quarantine, and for each node that has put this one there. */
export function quarantineLines(
  quarantine: Pick<QuarantineService, 'current' | 'accusations'>,
  ownName: string,
): string[] {
  const peers = quarantine
    .current()
    .map(quarantineView)
    .map(
      ({ name, until, digest, reason }) =>
        `${name} is in quarantine until ${until}: it sent wrong bytes of ${digest} (${reason}); when it is mended: starling peers release ${name}`,
    )
  const by = quarantine
    .accusations()
    .map(accusationView)
    .map(
      ({ name, digest, reason }) =>
        `${name} has quarantined this node because wrong bytes of ${digest} came from it (${reason}); when this node is mended, on ${name}: starling peers release ${ownName}`,
    )
  return [...bounded(peers, 'peers are in quarantine'), ...bounded(by, 'nodes have quarantined this node')]
}

function bounded(lines: readonly string[], what: string): string[] {
  const more = lines.length - maxLines
  return more > 0 ? [...lines.slice(0, maxLines), `${more} more ${what}: see starling peers`] : [...lines]
}
