import type { PeerId } from '../core/peer-id.ts'
import type { ClaimBook } from './claim-book.ts'
import type { MachineContext } from './context.ts'
import { messageType } from './messages.ts'
import type { Packets } from './packets.ts'
import { stateCode } from './states.ts'

/**
 * The first exchanges follow each other quickly: while many join at once, datagrams of those who are not attested
 * everywhere yet are dropped, and rumours die out before they have reached all.
 */
const firstPushPullMs = 1000
/** A share of new members beyond which the cluster has not settled. */
const settlingShare = 0.05
/** Beyond so many members, push/pull becomes rarer, so that its cost for a node grows with log N only. */
const pushPullScale = 32
/** Mean time to an exchange with one that was held for dead, for each member; it is about a hundredth of that in work. */
const meetingMsPerMember = 1

/** What is done now and then: push/pull, asking the dead whether they are back, forgetting. */
export class Upkeep {
  readonly #context: MachineContext
  readonly #packets: Packets
  readonly #claims: ClaimBook
  #nextPushPullMs = Number.POSITIVE_INFINITY
  #pushPullIntervalMs = firstPushPullMs
  #membersBefore = 1
  #nextRetryMs = Number.POSITIVE_INFINITY
  #nextForgetMs = Number.POSITIVE_INFINITY
  /** The last one that was held for dead and spoke, until it was met. */
  #returned: PeerId | undefined

  constructor(context: MachineContext, packets: Packets, claims: ClaimBook) {
    this.#context = context
    this.#packets = packets
    this.#claims = claims
  }

  start(): void {
    const { nowMs, rng, settings, table } = this.#context
    this.#membersBefore = table.members
    if (table.members > 1) this.#pushPullIntervalMs = settings.pushPullIntervalMs * this.#scale()
    const isAlone = table.members === 1
    this.#nextPushPullMs = nowMs + this.#pushPullIntervalMs * (isAlone ? 0.5 + rng.next() : rng.next())
    this.#nextRetryMs = nowMs + settings.deadRetryIntervalMs * rng.next()
    this.#nextForgetMs = nowMs + forgetIntervalMs
  }

  /** Called once in each probe interval. */
  tick(): void {
    const { nowMs, settings } = this.#context
    if (nowMs >= this.#nextPushPullMs) {
      this.#adaptInterval()
      this.#nextPushPullMs = nowMs + this.#jittered(this.#pushPullIntervalMs)
      this.#pushPull()
    }
    if (nowMs >= this.#nextRetryMs) {
      this.#nextRetryMs = nowMs + this.#jittered(settings.deadRetryIntervalMs)
      this.#askTheDead()
    }
    if (nowMs >= this.#nextForgetMs) {
      this.#nextForgetMs = nowMs + forgetIntervalMs
      this.#forget()
    }
  }

  /**
   * One that was held for dead speaks, so there is to be an exchange with it, in both directions. When two halves of a
   * cluster find each other again thousands speak at once, and each could tell the same: one is met at a time, and not
   * by all nodes in the same moment. What the first few have told is refuted by then, and worth telling.
   */
  meetAgain(peerId: PeerId): void {
    const { rng, table } = this.#context
    if (this.#returned === undefined)
      this.#context.schedule('meeting', 2 * meetingMsPerMember * table.members * rng.next())
    this.#returned = peerId
  }

  /** The time for it has come. */
  meet(): void {
    const peerId = this.#returned
    this.#returned = undefined
    if (peerId !== undefined) this.#context.emit({ type: 'push-pull', with: peerId, isExact: true })
  }

  #adaptInterval(): void {
    const { table, settings } = this.#context
    const isSettling = table.members - this.#membersBefore > settlingShare * table.members
    this.#membersBefore = table.members
    const longestMs = settings.pushPullIntervalMs * this.#scale()
    this.#pushPullIntervalMs = isSettling
      ? firstPushPullMs
      : Math.min(longestMs, 2 * this.#pushPullIntervalMs)
  }

  #pushPull(): void {
    const { self, table, directory } = this.#context
    const [partner] = this.#context.sample(
      1,
      (index) => index !== self && table.stateOf(index) === stateCode.alive,
    )
    if (partner !== undefined)
      this.#context.emit({ type: 'push-pull', with: directory.peerIdAt(partner), isExact: false })
  }

  /** A ping that tells it of its death; when it lives it refutes, and the halves of a partition meet again. */
  #askTheDead(): void {
    const { table } = this.#context
    const [member] = this.#context.sample(1, (index) => table.stateOf(index) === stateCode.dead)
    if (member === undefined) return
    const target = this.#context.directory.shortIdAt(member)
    this.#packets.sendTo(member, messageType.ping, this.#context.nextToken(), { target })
  }

  #forget(): void {
    const { table, nowMs, settings } = this.#context
    for (const index of table.indexes()) {
      const isOver = nowMs - table.sinceMs(index) >= settings.deadMemoryMs
      if (table.stateOf(index) >= stateCode.dead && isOver) this.#claims.forget(index)
    }
  }

  #scale(): number {
    const { live } = this.#context.table
    return live <= pushPullScale ? 1 : Math.ceil(Math.log2(live / pushPullScale)) + 1
  }

  #jittered(intervalMs: number): number {
    return intervalMs * (0.75 + 0.5 * this.#context.rng.next())
  }
}

const forgetIntervalMs = 60_000
