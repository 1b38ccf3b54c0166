import type { PeerId } from '../../core/peer-id.ts'
import type { Rng } from '../../core/ports.ts'

/** With fewer connected ones a node asks anybody: the connection that this opens is one that it lacks. */
const enoughNeighbours = 8
/** So many comparisons cross the flock all the same, so that what one part of it knows reaches the others. */
const strangerShare = 0.1

/**
 * Whom to ask what they know of a registry: mostly those to whom a connection is open. After a start a node asks again and again,
 * and a handshake with somebody new each time would cost both sides more than the answer.
 */
export function nearPartners(
  all: readonly PeerId[],
  connected: ReadonlySet<PeerId>,
  rng: Rng,
): readonly PeerId[] {
  const near = all.filter((peerId) => connected.has(peerId))
  return near.length < enoughNeighbours || rng.next() < strangerShare ? all : near
}
