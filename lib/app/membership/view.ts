import { formatEndpoint, isReachable, type Member } from '../../core/peer.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Clock } from '../../core/ports.ts'
import type { MembershipMachine, MemberView } from '../../membership/machine.ts'
import type { SignedRecord } from '../../membership/record.ts'

/** The machine's table as the rest of the node sees it: wall-clock times, and who is meant by "self". */
export class MembersView {
  readonly #machine: MembershipMachine
  readonly #clock: Clock
  readonly #self: PeerId

  constructor(machine: MembershipMachine, clock: Clock, self: PeerId) {
    this.#machine = machine
    this.#clock = clock
    this.#self = self
  }

  self(): Member {
    const member = this.get(this.#self)
    if (member === undefined) throw new Error('a node is always a member of its own table')
    return member
  }

  get(peerId: PeerId): Member | undefined {
    const view = this.#machine.get(peerId)
    return view === undefined ? undefined : this.#member(view)
  }

  all(): Member[] {
    return [...this.#machine.members()].map((view) => this.#member(view))
  }

  /** Those that can be asked for something now, this node left out. */
  reachable(): Member[] {
    return this.all().filter((member) => isReachable(member.state) && !member.self)
  }

  /** Addresses of this node and of all that are reachable, as `host:port`. */
  liveAddresses(): Set<string> {
    const live = this.all().filter((member) => isReachable(member.state))
    return new Set(live.flatMap(({ record }) => record.p2p.map(formatEndpoint)))
  }

  #member({ signed, state, incarnation, rttMs, sinceMs }: MemberView): Member {
    const { record } = signed
    const ageMs = Math.max(0, this.#clock.monotonicMs() - sinceMs)
    const self = record.peerId === this.#self
    return { record, state, incarnation, sinceMs: this.#clock.wallMs() - ageMs, rttMs, self }
  }
}

/** Names the list of registries that a record speaks of; hex. */
export function registriesHashOf({ record }: Pick<SignedRecord, 'record'>): string {
  return Buffer.from(record.registriesHash).toString('hex')
}
