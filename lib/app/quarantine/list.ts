import type { WrongBytes } from '../../core/lookup.ts'
import type { PeerId } from '../../core/peer-id.ts'

/** Why a peer is in quarantine, or was. Times in milliseconds since 1970. */
export interface QuarantineRecord {
  readonly peerId: PeerId
  /** Its name at that time. */
  readonly name: string
  readonly sinceMs: number
  readonly untilMs: number
  readonly digest: WrongBytes['digest']
  readonly evidence: WrongBytes['evidence']
  /** How often it came to this, as far as it is remembered. */
  readonly times: number
}

/** Most records; beyond it those that end first are dropped. */
export const maxRecords = 1024
/** A quarantine that repetition made longer ends within a day, unless the first one is longer by itself. */
const dayMs = 86_400_000
/** For so long after its end a quarantine makes the next one longer. */
const rememberMs = 7 * dayMs

/** How long the `times`th quarantine of a peer is: twice as long each time, and bounded. */
export function quarantineLengthMs(baseMs: number, times: number): number {
  return Math.min(baseMs * 2 ** Math.min(times - 1, 30), Math.max(baseMs, dayMs))
}

/** Who is in quarantine, and who was. Pure bookkeeping. */
export class QuarantineList {
  readonly #records = new Map<PeerId, QuarantineRecord>()

  /** What was kept of an earlier run; a clock that was set back makes no quarantine longer. */
  restore(records: readonly QuarantineRecord[], nowMs: number): void {
    for (const record of records) {
      const longest = nowMs + (record.untilMs - record.sinceMs)
      this.#put({ ...record, untilMs: Math.min(record.untilMs, longest) })
    }
    this.#forget(nowMs)
  }

  /** Undefined where the peer is in quarantine already. */
  add(
    peer: Pick<QuarantineRecord, 'peerId' | 'name'>,
    { digest, evidence }: WrongBytes,
    nowMs: number,
    baseMs: number,
  ): QuarantineRecord | undefined {
    const { peerId, name } = peer
    const before = this.#records.get(peerId)
    if (before !== undefined && nowMs < before.untilMs) return undefined
    this.#forget(nowMs)
    const times = (this.#records.get(peerId)?.times ?? 0) + 1
    const untilMs = nowMs + quarantineLengthMs(baseMs, times)
    const record: QuarantineRecord = { peerId, name, sinceMs: nowMs, untilMs, digest, evidence, times }
    this.#put(record)
    return record
  }

  has(peerId: PeerId, nowMs: number): boolean {
    const record = this.#records.get(peerId)
    return record !== undefined && nowMs < record.untilMs
  }

  /** Takes a peer out, and forgets that it was in; undefined where it is not in. */
  release(peerId: PeerId, nowMs: number): QuarantineRecord | undefined {
    const record = this.#records.get(peerId)
    if (record === undefined || nowMs >= record.untilMs) return undefined
    this.#records.delete(peerId)
    return record
  }

  /** Who is in quarantine, by name. */
  current(nowMs: number): QuarantineRecord[] {
    const all = [...this.#records.values()].filter(({ untilMs }) => nowMs < untilMs)
    return all.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  }

  /** All that is remembered. */
  records(): QuarantineRecord[] {
    return [...this.#records.values()]
  }

  #put(record: QuarantineRecord): void {
    this.#records.set(record.peerId, record)
    if (this.#records.size <= maxRecords) return
    const first = this.records().reduce((a, b) => (b.untilMs < a.untilMs ? b : a))
    this.#records.delete(first.peerId)
  }

  #forget(nowMs: number): void {
    for (const { peerId, untilMs } of this.records()) {
      if (nowMs >= untilMs + rememberMs) this.#records.delete(peerId)
    }
  }
}
