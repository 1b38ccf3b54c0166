import type { PeerId } from '../core/peer-id.ts'
import { chooseHeir, chooseParent } from './choose-parent.ts'
import { type FlightKey, keyText } from './flight-key.ts'
import { FlightTree, type Participant } from './flight-tree.ts'
import type { FlightMessage } from './messages.ts'
import { type FlightSettings, silenceMs } from './settings.ts'
import { SpoiledFlights } from './wrong-bytes.ts'

export type StewardEvent =
  | {
      readonly type: 'message'
      readonly from: PeerId
      readonly zone: string
      readonly message: FlightMessage
    }
  /** A member is dead or has left. */
  | { readonly type: 'member-gone'; readonly peerId: PeerId }
  | { readonly type: 'tick' }

export type StewardEffect =
  | { readonly type: 'send'; readonly to: PeerId; readonly message: FlightMessage }
  /** A node led with bytes that are not those of the digest: it leads nobody for a while. */
  | { readonly type: 'barred'; readonly peerId: PeerId; readonly key: FlightKey }

/** One flight, for the eyes of operators. */
export interface FlightSummary extends FlightKey {
  readonly participants: readonly {
    readonly peerId: PeerId
    readonly parent: PeerId | undefined
    readonly root: boolean
    readonly depth: number
    readonly offset: number
    readonly sizeBytes: number | undefined
  }[]
}

/** A parent that so many children lost gets no more, however often it speaks. */
const maxDoubts = 3
/** Words that are still on their way when a claim is decided don't count against it. */
const settledMs = 1000

interface Flight {
  readonly key: FlightKey
  readonly tree: FlightTree
}

type Of<T extends FlightMessage['type']> = Extract<FlightMessage, { type: T }>

/**
 * Arranges the flights of the digests whose steward this node is: the first to claim one leads, each further one gets a parent.
 * All of it is soft: what is not renewed by claims or words is forgotten, and what a new steward doesn't know it
 * learns from the words of those who fly. Bounded: so many flights, and each participant is a member that spoke lately.
 */
export class Steward {
  readonly #settings: FlightSettings
  readonly #flights = new Map<string, Flight>()
  readonly #spoiled: SpoiledFlights

  constructor(settings: FlightSettings) {
    this.#settings = settings
    this.#spoiled = new SpoiledFlights(settings)
  }

  get size(): number {
    return this.#flights.size
  }

  step(event: StewardEvent, nowMs: number): StewardEffect[] {
    if (event.type === 'tick') this.#expire(nowMs)
    else if (event.type === 'member-gone') {
      for (const [text, { tree }] of this.#flights) this.#remove(text, tree.get(event.peerId))
    } else if (event.message.type === 'claim')
      return this.#claim(event.from, event.zone, event.message, nowMs)
    else if (event.message.type === 'progress')
      return this.#progress(event.from, event.zone, event.message, nowMs)
    return []
  }

  summaries(): FlightSummary[] {
    return [...this.#flights.values()].map(({ key, tree }) => ({
      ...key,
      participants: [...tree.all()].map(({ peerId, parent, root, depth, progress }) => ({
        peerId,
        parent: parent?.peerId,
        root,
        depth,
        offset: progress.offset,
        sizeBytes: progress.sizeBytes,
      })),
    }))
  }

  #claim(from: PeerId, zone: string, claim: Of<'claim'>, nowMs: number): StewardEffect[] {
    const verdict = (what: Of<'verdict'>['verdict'], parent?: PeerId): StewardEffect[] => {
      const intervalMs = this.#intervalMs(this.#flights.get(keyText(claim))?.tree.size ?? 0)
      const message = { type: 'verdict', id: claim.id, verdict: what, parent, intervalMs } as const
      return [{ type: 'send', to: from, message }]
    }
    const text = keyText(claim)
    if (this.#spoiled.isSpoiled(text, from)) {
      // What has taken wrong bytes fails its check, whatever comes behind them, and is for nobody else.
      if (claim.offset > 0) return verdict('none')
      this.#spoiled.renew(text, from)
    }
    const mayLead = claim.slots > 0 && !this.#spoiled.isBarred(from, nowMs)
    const flight = this.#flightFor(claim, mayLead || claim.holders.length > 0)
    if (flight === undefined) return verdict('none')
    const { tree } = flight
    this.#addHolders(tree, claim.holders, from, nowMs)
    const known = tree.get(from)
    const me = known ?? tree.add(from, nowMs)
    const { offset, sizeBytes } = claim
    const heard = { heardMs: nowMs, decidedMs: nowMs, silent: false }
    Object.assign(me, { zone, slots: mayLead ? claim.slots : 0, ...heard })
    me.progress = { state: me.progress.state, offset, sizeBytes: sizeBytes ?? me.progress.sizeBytes }
    for (const peer of claim.lost) this.#lost(tree, me, peer, nowMs)
    if (me.root && claim.lost.length === 0) return verdict('lead')
    if (me.parent !== undefined) return verdict('follow', me.parent.peerId)
    const parent =
      chooseParent(tree, me, this.#settings) ??
      (claim.lost.length > 0 ? chooseHeir(tree, me, nowMs, this.#settings) : undefined)
    if (parent !== undefined && tree.attach(me, parent)) return verdict('follow', parent.peerId)
    if (mayLead) {
      tree.makeRoot(me)
      return verdict('lead')
    }
    this.#remove(text, me)
    return verdict('none')
  }

  /** Undefined where there is no such flight, and none may begin. */
  #flightFor({ registry, digest }: FlightKey, mayBegin: boolean): Flight | undefined {
    const text = keyText({ registry, digest })
    const known = this.#flights.get(text)
    if (known !== undefined || !mayBegin || this.#flights.size >= this.#settings.maxFlights) return known
    const flight = { key: { registry, digest }, tree: new FlightTree() }
    this.#flights.set(text, flight)
    return flight
  }

  /** Complete holders are parents that don't grow. */
  #addHolders(tree: FlightTree, holders: readonly PeerId[], claimant: PeerId, nowMs: number): void {
    for (const peer of holders) {
      if (peer === claimant) continue
      let holder = tree.get(peer)
      if (holder === undefined) {
        holder = tree.add(peer, nowMs)
        Object.assign(holder, { root: true, silent: true, slots: this.#settings.maxFanout })
      }
      if (holder.silent) holder.heardMs = nowMs
    }
  }

  /** A parent that nobody hears any more goes; one that still speaks is only not for this child. */
  #lost(tree: FlightTree, child: Participant, peer: PeerId, nowMs: number): void {
    child.lost.add(peer)
    const lost = tree.get(peer)
    if (child.parent?.peerId === peer) tree.detach(child)
    if (lost === undefined) return
    lost.doubts++
    if (nowMs - lost.heardMs > this.#settings.patienceMs) tree.remove(lost)
  }

  #progress(from: PeerId, zone: string, told: Of<'progress'>, nowMs: number): StewardEffect[] {
    const text = keyText(told)
    if (told.state === 'gone' || told.state === 'wrong') {
      const tree = this.#flights.get(text)?.tree
      const me = tree?.get(from)
      if (tree === undefined || me === undefined) return []
      if (told.state === 'wrong') return this.#wrong(text, tree, me, nowMs)
      this.#remove(text, me)
      return []
    }
    const isBarred = this.#spoiled.isBarred(from, nowMs)
    if (this.#spoiled.isSpoiled(text, from) || (isBarred && told.role === 'lead')) return []
    const flight = this.#flightFor(told, true)
    if (flight === undefined) return []
    const { tree } = flight
    const me = tree.get(from) ?? tree.add(from, nowMs)
    if (told.role === 'lead') {
      if (!me.root) tree.makeRoot(me)
    } else if (told.parent !== undefined && nowMs - me.decidedMs >= settledMs) {
      this.#believe(tree, me, told.parent, nowMs)
    }
    Object.assign(me, { zone, heardMs: nowMs, silent: false })
    if (me.doubts < maxDoubts) me.doubts = 0
    me.slots = isBarred ? 0 : told.slots
    me.progress = { state: told.state, offset: told.offset, sizeBytes: told.sizeBytes }
    return []
  }

  /**
   * Whom it says it follows, where that was decided elsewhere. A parent that has not spoken yet stands there all the same, so that
   * nobody is put below those who are below himself; what would close a circle hangs on nobody.
   */
  #believe(tree: FlightTree, me: Participant, parent: PeerId, nowMs: number): void {
    if (me.parent?.peerId === parent || parent === me.peerId) return
    me.root = false
    if (!tree.attach(me, tree.get(parent) ?? tree.add(parent, nowMs))) tree.detach(me)
  }

  /** Who brought the bytes in is to blame, and nobody flies on with them. */
  #wrong(text: string, tree: FlightTree, teller: Participant, nowMs: number): StewardEffect[] {
    const key = this.#flights.get(text)?.key
    const root = tree.rootOf(teller)
    const spoiled = [...tree.all()].filter((one) => !one.silent && tree.isBelow(one, root))
    this.#spoiled.spoil(
      text,
      spoiled.map(({ peerId }) => peerId),
      nowMs,
    )
    for (const participant of spoiled) this.#remove(text, participant)
    if (key === undefined || root.silent || !root.root) return []
    this.#spoiled.bar(root.peerId, nowMs)
    const barred = { type: 'barred', peerId: root.peerId, key } as const
    if (root === teller) return [barred]
    const { offset, sizeBytes } = root.progress
    const message = { type: 'word', ...key, state: 'wrong', offset, sizeBytes, quietMs: 0 } as const
    return [barred, { type: 'send', to: root.peerId, message }]
  }

  #intervalMs(participants: number): number {
    const { wordIntervalMs, maxWordsPerSecond } = this.#settings
    return Math.max(wordIntervalMs, Math.round((participants * 1000) / maxWordsPerSecond))
  }

  #expire(nowMs: number): void {
    this.#spoiled.expire(nowMs)
    for (const [text, { tree }] of this.#flights) {
      const limitMs = silenceMs(this.#settings, this.#intervalMs(tree.size))
      for (const participant of [...tree.all()]) {
        const isKept = participant.silent && participant.children.size > 0
        if (!isKept && nowMs - participant.heardMs > limitMs) this.#remove(text, participant)
      }
      if (tree.size === 0) this.#flights.delete(text)
    }
  }

  #remove(text: string, participant: Participant | undefined): void {
    const tree = this.#flights.get(text)?.tree
    if (tree === undefined || participant === undefined) return
    tree.remove(participant)
    if (tree.size === 0) this.#flights.delete(text)
  }
}
