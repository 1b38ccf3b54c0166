import type { PeerId } from '../core/peer-id.ts'
import type { Progress } from './messages.ts'

/** A node in a flight, as its steward sees it. */
export interface Participant {
  readonly peerId: PeerId
  zone: string
  /** Children that it would take. */
  slots: number
  progress: Progress
  /** From whom it gets its bytes; undefined: from upstream, or it has them, or it was left alone. */
  parent: Participant | undefined
  readonly children: Set<Participant>
  /** Steps to the root. */
  depth: number
  /** It gets its bytes without another participant: it leads, or holds all of it. */
  root: boolean
  /** Known only as a holder: it tells nothing itself. */
  silent: boolean
  heardMs: number
  /** When this steward answered a claim of it last. */
  decidedMs: number
  /** Children that have lost it since it spoke last; a few, and it is not believed any more. */
  doubts: number
  /** Parents that it has lost. */
  readonly lost: Set<PeerId>
}

/**
 * Who follows whom in one flight. Invariant "no cycle": a participant is only ever put below one that is not below it, and
 * every way up is therefore finite.
 */
export class FlightTree {
  readonly #participants = new Map<PeerId, Participant>()

  get size(): number {
    return this.#participants.size
  }

  get(peerId: PeerId): Participant | undefined {
    return this.#participants.get(peerId)
  }

  all(): Iterable<Participant> {
    return this.#participants.values()
  }

  add(peerId: PeerId, nowMs: number): Participant {
    const participant: Participant = {
      peerId,
      zone: '',
      slots: 0,
      progress: { state: 'absent', offset: 0, sizeBytes: undefined },
      parent: undefined,
      children: new Set(),
      depth: 0,
      root: false,
      silent: false,
      heardMs: nowMs,
      decidedMs: Number.NEGATIVE_INFINITY,
      doubts: 0,
      lost: new Set(),
    }
    this.#participants.set(peerId, participant)
    return participant
  }

  /** Its children are left alone: they notice, and ask again. */
  remove(participant: Participant): void {
    this.detach(participant)
    for (const child of participant.children) child.parent = undefined
    participant.children.clear()
    this.#participants.delete(participant.peerId)
  }

  detach(participant: Participant): void {
    participant.parent?.children.delete(participant)
    participant.parent = undefined
  }

  /** False, and nothing has changed, where `parent` is below it. */
  attach(participant: Participant, parent: Participant): boolean {
    if (this.isBelow(parent, participant)) return false
    this.detach(participant)
    participant.root = false
    participant.parent = parent
    parent.children.add(participant)
    this.#setDepth(participant, parent.depth + 1)
    return true
  }

  makeRoot(participant: Participant): void {
    this.detach(participant)
    participant.root = true
    this.#setDepth(participant, 0)
  }

  /** Is it `other`, or does it get its bytes through it? */
  isBelow(participant: Participant, other: Participant): boolean {
    for (let at: Participant | undefined = participant; at !== undefined; at = at.parent) {
      if (at === other) return true
    }
    return false
  }

  rootOf(participant: Participant): Participant {
    let at = participant
    while (at.parent !== undefined) at = at.parent
    return at
  }

  #setDepth(participant: Participant, depth: number): void {
    const waiting = [{ participant, depth }]
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      next.participant.depth = next.depth
      for (const child of next.participant.children)
        waiting.push({ participant: child, depth: next.depth + 1 })
    }
  }
}
