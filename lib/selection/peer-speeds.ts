import type { TransferReport } from '../core/lookup.ts'
import type { PeerId } from '../core/peer-id.ts'

/** Weight of the newest transfer in the moving averages. */
const weight = 0.2
/** Shorter answers say nothing of the rate. */
const minRatedBytes = 256 * 2 ** 10
/** What peers are compared by: the time for this many bytes. */
const referenceBytes = 4 * 2 ** 20
/** Nobody counts as more than this many times faster or slower than the mean. */
const maxFactor = 4
const maxPeers = 4096

interface Speed {
  firstByteMs: number
  /** Bytes per millisecond; undefined until an answer was long enough. */
  rate: number | undefined
}

/** Moving averages of how soon peers answer and how fast their bytes come. Bounded: who was not heard of longest goes first. */
export class PeerSpeeds {
  readonly #speeds = new Map<PeerId, Speed>()

  learn({ peerId, outcome, bytes, firstByteMs, durationMs }: TransferReport): void {
    if (firstByteMs === undefined || (outcome !== 'complete' && outcome !== 'slow')) return
    const old = this.#speeds.get(peerId)
    const rate = bytes >= minRatedBytes ? bytes / Math.max(1, durationMs - firstByteMs) : undefined
    this.#speeds.delete(peerId)
    this.#speeds.set(peerId, {
      firstByteMs: blend(old?.firstByteMs, firstByteMs),
      rate: rate === undefined ? old?.rate : blend(old?.rate, rate),
    })
    const [oldest] = this.#speeds.keys()
    if (this.#speeds.size > maxPeers && oldest !== undefined) this.#speeds.delete(oldest)
  }

  forget(peerId: PeerId): void {
    this.#speeds.delete(peerId)
  }

  /** For each of the peers the time that it is expected to take, as a multiple of their mean; 1 where nothing is known. */
  factors(peerIds: readonly PeerId[]): Map<PeerId, number> {
    const times = new Map<PeerId, number>()
    for (const peerId of peerIds) {
      const speed = this.#speeds.get(peerId)
      if (speed?.rate !== undefined) times.set(peerId, speed.firstByteMs + referenceBytes / speed.rate)
    }
    const mean = [...times.values()].reduce((sum, time) => sum + time, 0) / Math.max(1, times.size)
    const factor = (peerId: PeerId): number => {
      const time = times.get(peerId)
      return time === undefined ? 1 : Math.min(maxFactor, Math.max(1 / maxFactor, time / mean))
    }
    return new Map(peerIds.map((peerId) => [peerId, factor(peerId)]))
  }
}

function blend(old: number | undefined, value: number): number {
  return old === undefined ? value : old + weight * (value - old)
}
