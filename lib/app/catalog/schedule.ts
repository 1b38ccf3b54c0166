import { compareAge } from '../../catalog/checkpoint.ts'
import type { OriginEntry } from '../../catalog/origin-table.ts'
import { describeError } from '../../core/errors.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { CatalogContext, MirroredRegistry } from './context.ts'
import type { CatalogSynchroniser, SyncOutcome } from './synchroniser.ts'

/** With all well, a registry is compared with a neighbour this often. */
const calmMs = 30_000
/** Until a first comparison has succeeded, and as long as comparisons find something. */
const eagerMs = 1_000
/**
 * Comparisons in a row after joining that must find nothing new: others may have joined just now too, and know as little.
 */
const joinRounds = 5
/** Who doesn't mirror a registry yet may do so soon: the wait grows no further than to four seconds. */
const maxNotMirrored = 2
/** How soon a gap is repaired: late messages may close it by themselves. */
const repairMs = { min: 60, max: 150 }
/** Waits before the next try of a repair; after the last one the periodic comparison takes over. */
const repairRetriesMs: readonly number[] = [400, 1_000]
/** More gaps than this in one registry are closed by a comparison. */
const maxRepairs = 16

interface Repair {
  readonly entry: OriginEntry
  wanted: { readonly epoch: number; readonly sequence: number }
  readonly from: PeerId
  tries: number
}

interface Plan {
  readonly mirrored: MirroredRegistry
  cancel: (() => void) | undefined
  dueMs: number
  /** A comparison has succeeded since the registry was joined. */
  settled: boolean
  /** Comparisons that are due soon. */
  rounds: number
  failures: number
  comparing: boolean
  /** A neighbour that compared with this node and differed: it is asked next. */
  answerTo: PeerId | undefined
  readonly repairs: Map<PeerId, Repair>
  repairing: boolean
}

/** Decides when and with whom a registry is compared and what is repaired. */
export class CatalogSchedule {
  readonly #context: CatalogContext
  readonly #synchroniser: CatalogSynchroniser
  readonly #plans = new Map<MirroredRegistry, Plan>()
  #started = false

  constructor(context: CatalogContext, synchroniser: CatalogSynchroniser) {
    this.#context = context
    this.#synchroniser = synchroniser
  }

  start(): void {
    this.#started = true
    for (const plan of this.#plans.values()) this.#soon(plan, 0, 200)
  }

  stop(): void {
    for (const plan of this.#plans.values()) plan.cancel?.()
    this.#plans.clear()
  }

  opened(mirrored: MirroredRegistry): void {
    const plan: Plan = {
      mirrored,
      cancel: undefined,
      dueMs: Number.POSITIVE_INFINITY,
      settled: false,
      rounds: joinRounds,
      failures: 0,
      comparing: false,
      answerTo: undefined,
      repairs: new Map(),
      repairing: false,
    }
    this.#plans.set(mirrored, plan)
    this.#soon(plan, 0, 200)
  }

  dropped(mirrored: MirroredRegistry): void {
    this.#plans.get(mirrored)?.cancel?.()
    this.#plans.delete(mirrored)
  }

  /** A member is back, or new: what it and its side know may be missing here. */
  memberCame(): void {
    for (const plan of this.#plans.values()) {
      plan.rounds = Math.max(plan.rounds, 2)
      this.#soon(plan, 300, 2_000)
    }
  }

  /** A neighbour has compared with this node and differs. */
  neighbourDiffers(mirrored: MirroredRegistry, peer: PeerId): void {
    const plan = this.#plans.get(mirrored)
    if (plan === undefined || plan.answerTo !== undefined) return
    plan.answerTo = peer
    this.#soon(plan, 200, 1_000)
  }

  /** A message showed that something of an origin is missing here; `from` has it, or knows who has. */
  behind(
    mirrored: MirroredRegistry,
    entry: OriginEntry,
    wanted: { readonly epoch: number; readonly sequence: number },
    from: PeerId,
  ): void {
    const plan = this.#plans.get(mirrored)
    if (plan === undefined) return
    const known = plan.repairs.get(entry.peerId)
    if (known !== undefined) {
      if (compareAge(wanted, known.wanted) > 0) known.wanted = wanted
      return
    }
    if (plan.repairs.size >= maxRepairs) {
      plan.rounds = Math.max(plan.rounds, 1)
      this.#soon(plan, 100, 500)
      return
    }
    plan.repairs.set(entry.peerId, { entry, wanted, from, tries: 0 })
    this.#repairAfter(plan, this.#context.between(repairMs.min, repairMs.max))
  }

  #repairAfter(plan: Plan, delayMs: number): void {
    if (plan.repairing) return
    plan.repairing = true
    this.#context.timers.after(delayMs, () => void this.#repairAll(plan))
  }

  async #repairAll(plan: Plan): Promise<void> {
    const { mirrored } = plan
    let waitMs: number | undefined
    for (const [origin, repair] of plan.repairs) {
      if (this.#context.isOver(mirrored)) return
      await this.#repairOne(plan, repair)
      const known = repair.entry.checkpoint
      if (known !== undefined && compareAge(known, repair.wanted) >= 0) {
        plan.repairs.delete(origin)
        continue
      }
      const retryMs = repairRetriesMs[repair.tries]
      repair.tries += 1
      if (retryMs === undefined) {
        plan.repairs.delete(origin)
        plan.rounds = Math.max(plan.rounds, 1)
        this.#soon(plan, 200, 1_000)
      } else {
        waitMs = Math.min(waitMs ?? retryMs, retryMs)
      }
    }
    plan.repairing = false
    if (waitMs !== undefined) this.#repairAfter(plan, waitMs * this.#context.between(0.5, 1.5))
    else if (plan.repairs.size > 0) this.#repairAfter(plan, repairMs.min)
  }

  /** First the neighbour that told, then any other, last the origin, which else all would ask at once. */
  async #repairOne(plan: Plan, { entry, wanted, from, tries }: Repair): Promise<void> {
    const { mirrored } = plan
    if (entry.checkpoint !== undefined && compareAge(entry.checkpoint, wanted) >= 0) return
    if (this.#context.memberState(entry.peerId) === undefined) return
    const others = this.#context.options.partners(mirrored.name)
    const peer = tries === 0 ? from : tries === 1 ? this.#context.pick(others) : entry.peerId
    if (peer === undefined || peer === this.#context.options.peerId) return
    let outcome: string
    try {
      outcome = (await this.#synchroniser.repair(mirrored, entry, peer)) ? 'repaired' : 'not-newer'
    } catch (error) {
      outcome = 'failed'
      this.#context.logger.debug(
        { registry: mirrored.name, origin: entry.peerId, peer, error: describeError(error) },
        'a gap could not be repaired from a neighbour',
      )
    }
    this.#context.options.metrics.count('starling_catalog_repairs_total', { outcome })
  }

  #soon(plan: Plan, minMs: number, maxMs: number): void {
    this.#compareAfter(plan, this.#context.between(minMs, maxMs))
  }

  /** Plans a comparison; one that is due sooner stays. */
  #compareAfter(plan: Plan, delayMs: number): void {
    if (!this.#started || plan.comparing || this.#context.isOver(plan.mirrored)) return
    const dueMs = this.#context.options.clock.monotonicMs() + delayMs
    if (plan.cancel !== undefined && plan.dueMs <= dueMs) return
    plan.cancel?.()
    plan.dueMs = dueMs
    plan.cancel = this.#context.timers.after(delayMs, () => {
      plan.cancel = undefined
      void this.#compare(plan)
    })
  }

  async #compare(plan: Plan): Promise<void> {
    const { mirrored, answerTo } = plan
    plan.answerTo = undefined
    const peer = answerTo ?? this.#context.pick(this.#context.options.partners(mirrored.name))
    if (peer !== undefined && peer !== this.#context.options.peerId) {
      plan.comparing = true
      const outcome = await this.#compareWith(mirrored, peer, answerTo !== undefined)
      plan.comparing = false
      this.#learnFrom(plan, outcome)
    }
    const backOffMs = Math.min(calmMs, eagerMs * 2 ** Math.min(plan.failures, 10))
    const eager = !plan.settled || plan.rounds > 0
    this.#compareAfter(plan, (eager ? backOffMs : calmMs) * this.#context.between(0.7, 1.3))
  }

  async #compareWith(
    mirrored: MirroredRegistry,
    peer: PeerId,
    answering: boolean,
  ): Promise<SyncOutcome | 'failed'> {
    let outcome: SyncOutcome | 'failed'
    try {
      outcome = await this.#synchroniser.compare(mirrored, peer, answering)
    } catch (error) {
      outcome = 'failed'
      this.#context.logger.debug(
        { registry: mirrored.name, peer, error: describeError(error) },
        'a comparison with a neighbour failed',
      )
    }
    this.#context.options.metrics.count('starling_catalog_comparisons_total', { outcome })
    return outcome
  }

  #learnFrom(plan: Plan, outcome: SyncOutcome | 'failed'): void {
    if (outcome === 'equal' || outcome === 'updated') {
      plan.settled = true
      plan.failures = 0
      plan.rounds = outcome === 'updated' ? Math.max(plan.rounds, 1) : Math.max(0, plan.rounds - 1)
    } else {
      plan.failures =
        outcome === 'not-mirrored' ? Math.min(plan.failures + 1, maxNotMirrored) : plan.failures + 1
    }
    if (plan.answerTo !== undefined) plan.rounds = Math.max(plan.rounds, 1)
  }
}
