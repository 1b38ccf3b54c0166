import type { FlowConfig } from '../core/config.ts'
import { FlowSlot, type SlotCounter } from './flow-slot.ts'
import { chargeBytes, localCell, type RateCell } from './rate-limit.ts'

/** What is taken and charged in one direction, by all threads of a node together. */
export interface FlowState {
  /** Counts requests of a peer that begin (1) or end (-1); returns how many there are then, those that wait for room among them. */
  count(peer: string, change: 1 | 0 | -1): { readonly total: number; readonly ofPeer: number }
  /** What was charged to a peer, or, without one, to all. */
  charged(peer?: string): RateCell
}

/** Each answer should get a block of 256 KiB a second at least, or it would count as one that stalls. */
const minShareBytes = 256 * 2 ** 10

/** Requests at once that a rate can feed. */
function fed(atOnce: number, bytesPerSecond: number): number {
  return Math.min(atOnce, Math.max(1, Math.floor(bytesPerSecond / minShareBytes)))
}

/**
 * Bounds what is given to peers, or taken from them: requests at once, and bytes a second, of each peer and of all. Who finds no
 * room goes elsewhere, so that many requesters don't drown a popular holder.
 */
export class FlowLimit {
  readonly #state: FlowState
  /** Slots of this thread that wait for room, by peer. They are counted already: what is new doesn't come before them. */
  readonly #waiting = new Map<string, number>()
  #allWaiting = 0
  #limits: FlowConfig
  readonly #counter: SlotCounter = {
    leave: (peer) => void this.#state.count(peer, -1),
    enter: (peer) => {
      const free = this.#fits(peer, this.#state.count(peer, 1))
      if (!free) this.#wait(peer, 1)
      return free
    },
    retry: (peer) => {
      this.#wait(peer, -1)
      const free = this.#fits(peer, this.#state.count(peer, 0))
      if (!free) this.#wait(peer, 1)
      return free
    },
    giveUp: (peer) => {
      this.#wait(peer, -1)
      this.#state.count(peer, -1)
    },
  }

  constructor(limits: FlowConfig, state: FlowState = new LocalFlow()) {
    this.#limits = limits
    this.#state = state
  }

  /** For what begins from now on. */
  setLimits(limits: FlowConfig): void {
    this.#limits = limits
  }

  /** Undefined where there is no room. */
  take(peer: string): FlowSlot | undefined {
    const { total, ofPeer } = this.#state.count(peer, 1)
    if (total <= this.#most && ofPeer <= this.#mostOfPeer) return new FlowSlot(this.#counter, peer)
    this.#state.count(peer, -1)
    return undefined
  }

  /** Charges bytes to a peer and to all; milliseconds until they may go. */
  delayMs(peer: string, bytes: number, nowMs: number): number {
    const { bytesPerSecond, bytesPerSecondPerPeer } = this.#limits
    if (bytesPerSecond === Number.POSITIVE_INFINITY && bytesPerSecondPerPeer === Number.POSITIVE_INFINITY) {
      return 0
    }
    return Math.max(
      chargeBytes(this.#state.charged(), bytes, bytesPerSecond, nowMs),
      chargeBytes(this.#state.charged(peer), bytes, bytesPerSecondPerPeer, nowMs),
    )
  }

  get #most(): number {
    return fed(this.#limits.atOnce, this.#limits.bytesPerSecond)
  }

  get #mostOfPeer(): number {
    return fed(this.#limits.atOncePerPeer, this.#limits.bytesPerSecondPerPeer)
  }

  /** Is there room for one that is counted, and does not wait? Those that wait have no room: they don't count against it. */
  #fits(peer: string, { total, ofPeer }: { readonly total: number; readonly ofPeer: number }): boolean {
    const waiting = this.#waiting.get(peer) ?? 0
    return total - this.#allWaiting <= this.#most && ofPeer - waiting <= this.#mostOfPeer
  }

  #wait(peer: string, change: 1 | -1): void {
    this.#allWaiting += change
    const waiting = (this.#waiting.get(peer) ?? 0) + change
    if (waiting === 0) this.#waiting.delete(peer)
    else this.#waiting.set(peer, waiting)
  }
}

const maxPeers = 4096

/** The state of a node with a single thread. */
export class LocalFlow implements FlowState {
  readonly #taken = new Map<string, number>()
  readonly #cells = new Map<string, RateCell>()
  readonly #all = localCell()
  #total = 0

  count(peer: string, change: 1 | 0 | -1): { total: number; ofPeer: number } {
    this.#total += change
    const ofPeer = (this.#taken.get(peer) ?? 0) + change
    if (ofPeer === 0) this.#taken.delete(peer)
    else this.#taken.set(peer, ofPeer)
    return { total: this.#total, ofPeer }
  }

  charged(peer?: string): RateCell {
    if (peer === undefined) return this.#all
    const cell = this.#cells.get(peer) ?? localCell()
    this.#cells.delete(peer)
    this.#cells.set(peer, cell)
    const [oldest] = this.#cells.keys()
    if (this.#cells.size > maxPeers && oldest !== undefined) this.#cells.delete(oldest)
    return cell
  }
}
