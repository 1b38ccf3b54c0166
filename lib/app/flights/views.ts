import type { FlightView } from '../../core/ops-view.ts'
import type { Member } from '../../core/peer.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { OwnRole } from '../../flights/roles.ts'
import type { FlightSummary } from '../../flights/steward.ts'

/** More participants of one flight are counted and not listed. */
const maxShown = 100

/** What this node downloads for others or from them, and what it arranges as steward. */
export function flightViews(
  roles: Iterable<Readonly<OwnRole>>,
  summaries: readonly FlightSummary[],
  memberOf: (peerId: PeerId) => Member | undefined,
): FlightView[] {
  const name = (peerId: PeerId): string => memberOf(peerId)?.record.name ?? peerId
  const maybe = (peerId: PeerId | undefined): string | null => (peerId === undefined ? null : name(peerId))
  const own = [...roles].map(
    ({ key, role, steward, parent, progress }): FlightView => ({
      ...key,
      role,
      steward: maybe(steward),
      parent: maybe(parent),
      state: progress.state,
      reachedBytes: progress.offset,
      sizeBytes: progress.sizeBytes ?? null,
      participants: 1,
      tree: [],
    }),
  )
  const arranged = summaries.map(({ registry, digest, participants }): FlightView => {
    const sizes = participants.flatMap(({ sizeBytes }) => sizeBytes ?? [])
    return {
      registry,
      digest,
      role: 'steward',
      steward: null,
      parent: null,
      state: 'open',
      reachedBytes: Math.max(0, ...participants.map(({ offset }) => offset)),
      sizeBytes: sizes[0] ?? null,
      participants: participants.length,
      tree: participants.slice(0, maxShown).map(({ peerId, parent, root, offset }) => ({
        node: name(peerId),
        parent: maybe(parent),
        leads: root,
        reachedBytes: offset,
      })),
    }
  })
  return [...own, ...arranged]
}
