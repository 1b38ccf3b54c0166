import type { PeerId } from '../core/peer-id.ts'
import { type FlightKey, keyText } from './flight-key.ts'
import type { Progress } from './messages.ts'
import type { FlightSettings } from './settings.ts'

/**
 * What a node knows of wrong bytes among its own downloads. A download that took some is nobody's source: containerd keeps it
 * through a resume, and for a while after its check has failed. Who led with such bytes leads nothing for a while.
 */
export class OwnWrongBytes {
  readonly #settings: FlightSettings
  readonly #downloads = new Map<string, { readonly offset: number; readonly atMs: number }>()
  #leadsFromMs = Number.NEGATIVE_INFINITY

  constructor(settings: FlightSettings) {
    this.#settings = settings
  }

  /** The download, which had reached `offset`, is spoiled. */
  add(key: FlightKey, offset: number, led: boolean, nowMs: number): void {
    const { barMs } = this.#settings
    if (led) this.#leadsFromMs = nowMs + barMs
    for (const [text, { atMs }] of this.#downloads) {
      if (nowMs - atMs < barMs && this.#downloads.size < this.#settings.maxFlights) break
      this.#downloads.delete(text)
    }
    this.#downloads.delete(keyText(key))
    this.#downloads.set(keyText(key), { offset, atMs: nowMs })
  }

  mayLead(nowMs: number): boolean {
    return nowMs >= this.#leadsFromMs
  }

  /**
   * Is what the store shows the download that took wrong bytes still? What has begun anew is not. One of which the store showed
   * nothing yet can't be told from another one, so for a moment each is taken for it.
   */
  isSpoiled(key: FlightKey, seen: Progress | undefined, nowMs: number): boolean {
    const known = this.#downloads.get(keyText(key))
    if (known === undefined) return false
    const { patienceMs, barMs } = this.#settings
    const agoMs = nowMs - known.atMs
    const isSame = seen !== undefined && seen.offset >= known.offset
    if (isSame && agoMs < (known.offset === 0 ? patienceMs : barMs)) return true
    this.#downloads.delete(keyText(key))
    return false
  }
}

/** What a steward remembers of flights with wrong bytes: who must not lead, and whose download took some. */
export class SpoiledFlights {
  readonly #settings: FlightSettings
  readonly #leaders = new Map<PeerId, number>()
  readonly #downloads = new Map<string, { readonly peers: Set<PeerId>; untilMs: number }>()

  constructor(settings: FlightSettings) {
    this.#settings = settings
  }

  bar(leader: PeerId, nowMs: number): void {
    this.#leaders.set(leader, nowMs + this.#settings.barMs)
  }

  isBarred(peerId: PeerId, nowMs: number): boolean {
    return (this.#leaders.get(peerId) ?? 0) > nowMs
  }

  spoil(flight: string, peers: Iterable<PeerId>, nowMs: number): void {
    const known = this.#downloads.get(flight)
    if (known === undefined && this.#downloads.size >= this.#settings.maxFlights) return
    const untilMs = nowMs + this.#settings.barMs
    const entry = known ?? { peers: new Set(), untilMs }
    entry.untilMs = untilMs
    for (const peerId of peers) entry.peers.add(peerId)
    this.#downloads.set(flight, entry)
  }

  isSpoiled(flight: string, peerId: PeerId): boolean {
    return this.#downloads.get(flight)?.peers.has(peerId) === true
  }

  /** It has begun anew. */
  renew(flight: string, peerId: PeerId): void {
    this.#downloads.get(flight)?.peers.delete(peerId)
  }

  expire(nowMs: number): void {
    for (const [peerId, untilMs] of this.#leaders) if (untilMs <= nowMs) this.#leaders.delete(peerId)
    for (const [flight, { untilMs, peers }] of this.#downloads)
      if (untilMs <= nowMs || peers.size === 0) this.#downloads.delete(flight)
  }
}
