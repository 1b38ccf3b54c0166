import type { PeerId } from '../core/peer-id.ts'
import type { Rng } from '../core/ports.ts'
import type { PeerScores, PeerStanding } from './peer-scores.ts'

/** A holder, as far as the order depends on it; a `Member` is one. */
export interface Holder {
  readonly record: { readonly peerId: PeerId; readonly zone: string }
}

export interface OrderOptions {
  /** Zone of this node. */
  readonly zone: string
  readonly scores: PeerScores
  /** Monotonic milliseconds. */
  readonly nowMs: number
  readonly rng: Rng
  /** How long a peer is expected to take, as a multiple of the mean; 1 where it is not said. */
  readonly speed?: (peerId: PeerId) => number
  /** Most candidates in the answer. */
  readonly limit: number
}

/**
 * Holders in the order in which they should be asked: own zone before others, in each by two random choices (Mitzenmacher,
 * "The Power of Two Choices in Randomized Load Balancing"): of two drawn at random the one with fewer transfers in
 * flight goes first, each counted by how long the peer is expected to take. Those that wait out a back-off stand last, the soonest ready first: where nobody else has the blob
 * they are still worth a try.
 */
export function orderCandidates<T extends Holder>(holders: readonly T[], options: OrderOptions): T[] {
  const near: Ranked<T>[] = []
  const far: Ranked<T>[] = []
  const resting: Ranked<T>[] = []
  const speed = options.speed ?? (() => 1)
  for (const holder of holders) {
    const standing = options.scores.standing(holder.record.peerId, options.nowMs)
    const group = standing.state === 'resting' ? resting : holder.record.zone === options.zone ? near : far
    group.push({ holder, standing, cost: (standing.inFlight + 1) * speed(holder.record.peerId) })
  }
  resting.sort((a, b) => a.standing.readyAtMs - b.standing.readyAtMs)
  const ordered: T[] = []
  for (const group of [near, far]) {
    while (group.length > 0 && ordered.length < options.limit) ordered.push(draw(group, options.rng).holder)
  }
  for (const { holder } of resting) if (ordered.length < options.limit) ordered.push(holder)
  return ordered
}

interface Ranked<T> {
  readonly holder: T
  readonly standing: PeerStanding
  /** What it has to do, in the time that it takes for it. */
  readonly cost: number
}

/** Takes the better of two random entries out of the group. */
function draw<T>(group: Ranked<T>[], rng: Rng): Ranked<T> {
  const first = Math.floor(rng.next() * group.length)
  let best = first
  if (group.length > 1) {
    const second = (first + 1 + Math.floor(rng.next() * (group.length - 1))) % group.length
    if (compare(group[second] as Ranked<T>, group[first] as Ranked<T>) < 0) best = second
  }
  const chosen = group[best] as Ranked<T>
  group[best] = group[group.length - 1] as Ranked<T>
  group.pop()
  return chosen
}

function compare(a: Ranked<unknown>, b: Ranked<unknown>): number {
  return a.cost - b.cost || a.standing.failures - b.standing.failures
}
