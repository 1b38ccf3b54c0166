import type { Rng } from '../core/ports.ts'

/** Changes wait so long for others that belong to them. */
const batchMs = 25
/** At most one message for each registry in this time. */
const calmGapMs = 100
/** After so long others have found the change by comparing. */
const maxGapMs = 30_000
/** Messages of others in a second up to which nobody waits for anybody: they take about a tenth of a core. */
const calmPerSecond = 100
const windowMs = 2_000

/**
 * What follows a lost message shows that it is missing; the last one of a row is followed by its bare checkpoint after
 * a time between these.
 */
export const reminderMs = { min: 1_000, max: 2_000 } as const

/**
 * When this node may announce its changes. What one node sends is bounded by the gap between its messages, and what all
 * of them send together by its growth: it is the third power of how many times the calm rate is heard of others. So changes
 * of a node share messages while many nodes have some, as when thousands pull the same image, and a gap grows until all
 * that is sent is what all can take: ten thousand nodes that change all the time come to some hundred messages a second.
 */
export class AnnouncementPace {
  #windowStartMs = 0
  #heardNow = 0
  #heardBefore = 0

  /** A message of another node came, by monotonic time. */
  heard(nowMs: number): void {
    this.#advance(nowMs)
    this.#heardNow++
  }

  /** Messages of others in a second, over the last two seconds. */
  perSecond(nowMs: number): number {
    this.#advance(nowMs)
    const share = (nowMs - this.#windowStartMs) / windowMs
    return ((this.#heardBefore * (1 - share) + this.#heardNow) * 1000) / windowMs
  }

  /** More is heard than what costs little: what others find out by comparing need not be sent. */
  isBusy(nowMs: number): boolean {
    return this.perSecond(nowMs) > calmPerSecond
  }

  /** Between two announcements of a registry. */
  gapMs(nowMs: number): number {
    const load = Math.max(1, this.perSecond(nowMs) / calmPerSecond)
    return Math.min(maxGapMs, calmGapMs * load ** 3)
  }

  /**
   * How long a change of now waits until it is announced: in calm only for the others of its batch and for the gap, else
   * for half a gap to one and a half, in which the next ones come; drawn, so that who heard the same does not speak at once.
   * @param sentMs of the last announcement of that registry, monotonic; negative infinity where there was none
   */
  waitMs(nowMs: number, sentMs: number, rng: Rng): number {
    const gapMs = this.gapMs(nowMs)
    return gapMs > calmGapMs ? gapMs * (0.5 + rng.next()) : Math.max(batchMs, gapMs - (nowMs - sentMs))
  }

  #advance(nowMs: number): void {
    const passedMs = nowMs - this.#windowStartMs
    if (passedMs < windowMs) return
    this.#heardBefore = passedMs < 2 * windowMs ? this.#heardNow : 0
    this.#heardNow = 0
    this.#windowStartMs += Math.floor(passedMs / windowMs) * windowMs
  }
}
