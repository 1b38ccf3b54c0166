import { formatEndpoint, type Member, type MemberState } from '../../core/peer.ts'
import type { Clock, Logger, Metrics } from '../../core/ports.ts'
import type { Effect } from '../../membership/events.ts'
import type { MembershipMachine } from '../../membership/machine.ts'

const states: readonly MemberState[] = ['alive', 'suspect', 'stalled', 'dead', 'left']
/** A conflict of names is told so often while it lasts. */
const conflictIntervalMs = 600_000
const maxConflicts = 256

/** Log lines and metrics of membership. */
export class MembershipReports {
  readonly #logger: Logger
  readonly #metrics: Metrics
  readonly #clock: Clock
  readonly #conflictsMs = new Map<string, number>()

  constructor(logger: Logger, metrics: Metrics, clock: Clock) {
    this.#logger = logger
    this.#metrics = metrics
    this.#clock = clock
  }

  changed(member: Member, from: MemberState | undefined, reason: string): void {
    const { record, state, incarnation } = member
    this.#metrics.count('starling_membership_changes_total', { to: state })
    const address = record.p2p.map(formatEndpoint)[0]
    const fields = { peerId: record.peerId, name: record.name, address, from, to: state, incarnation, reason }
    if (state === 'suspect' || from === state) this.#logger.debug(fields, 'a member has changed')
    else if (state === 'dead' || state === 'stalled') this.#logger.warn(fields, 'a member is lost')
    else this.#logger.info(fields, state === 'left' ? 'a member has left' : 'a member is here')
  }

  nameConflict(conflict: Effect & { type: 'name-conflict' }, members: readonly Member[]): void {
    const nowMs = this.#clock.monotonicMs()
    const last = this.#conflictsMs.get(conflict.name)
    this.#metrics.count('starling_membership_name_conflicts_total')
    if (last !== undefined && nowMs - last < conflictIntervalMs) return
    if (this.#conflictsMs.size >= maxConflicts) this.#conflictsMs.clear()
    this.#conflictsMs.set(conflict.name, nowMs)
    const nodes = members.map(({ record }) => ({
      peerId: record.peerId,
      addresses: record.p2p.map(formatEndpoint),
    }))
    this.#logger.warn(
      { name: conflict.name, nodes },
      'several live nodes have the same name; rename all but one',
    )
  }

  gauges(machine: MembershipMachine): void {
    const counts = new Map<MemberState, number>()
    for (const { state } of machine.members()) counts.set(state, (counts.get(state) ?? 0) + 1)
    for (const state of states) this.#metrics.set('starling_members', counts.get(state) ?? 0, { state })
    const gauges = machine.gauges()
    this.#metrics.set('starling_membership_rumours', gauges.rumours)
    this.#metrics.set('starling_membership_suspicions', gauges.suspicions)
    this.#metrics.set('starling_membership_wants', gauges.wants)
    this.#metrics.set('starling_membership_local_health', gauges.health)
  }
}
