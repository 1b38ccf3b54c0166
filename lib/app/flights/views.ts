import type { FlightView, PeerFlightView } from '../../core/ops-view.ts'
import type { Member } from '../../core/peer.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { OwnRole } from '../../flights/roles.ts'
import type { FlightSummary } from '../../flights/steward.ts'

/** More participants of one flight are counted and not listed. */
const maxShown = 100

/** What this node downloads for others or from them, and what it arranges as steward. */
export function flightViews(
  self: PeerId,
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
      leader: role === 'lead' ? name(self) : null,
      parent: maybe(parent),
      state: progress.state,
      reachedBytes: progress.offset,
      sizeBytes: progress.sizeBytes ?? null,
      savedBytes: role === 'follow' ? progress.offset : 0,
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
      steward: name(self),
      leader: maybe(participants.find(({ root }) => root)?.peerId),
      parent: null,
      state: 'open',
      reachedBytes: Math.max(0, ...participants.map(({ offset }) => offset)),
      sizeBytes: sizes[0] ?? null,
      savedBytes: participants.reduce((sum, { root, offset }) => sum + (root ? 0 : offset), 0),
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

/** What each member does in flights that this node takes part in or arranges, by the names of the nodes. */
export function flightsByNode(self: string, views: readonly FlightView[]): Map<string, PeerFlightView[]> {
  const byNode = new Map<string, PeerFlightView[]>()
  const add = (node: string, flight: PeerFlightView): void => {
    const known = byNode.get(node) ?? []
    byNode.set(node, known)
    const isKnown = known.some((one) => one.registry === flight.registry && one.digest === flight.digest)
    if (!isKnown && known.length < maxShown) known.push(flight)
  }
  for (const { registry, digest, role, parent, reachedBytes, sizeBytes, tree } of views) {
    const flight = { registry, digest, sizeBytes }
    if (role !== 'steward') add(self, { ...flight, role, parent, reachedBytes })
    for (const one of tree) {
      const { leads, node } = one
      const own = {
        role: leads ? 'lead' : 'follow',
        parent: one.parent,
        reachedBytes: one.reachedBytes,
      } as const
      add(node, { ...flight, ...own })
    }
  }
  return byNode
}
