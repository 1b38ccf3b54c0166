import { type PeerId, publicKeyFromPeerId, shortIdOf } from '../core/peer-id.ts'
import type { MachineContext } from './context.ts'
import type { LocalHealth } from './health.ts'
import type { Claim } from './messages.ts'
import type { ProbeRing } from './probe-ring.ts'
import type { SignedRecord } from './record.ts'
import type { RumourQueue } from './rumours.ts'
import { isProbed, overrides, stateCode, stateOfCode } from './states.ts'
import type { Suspicions, Voices } from './suspicions.ts'
import { Wants } from './wants.ts'

/** How a claim came: from the member itself, from a rumour, or in a push/pull, where deaths are old news. */
export type ClaimSource = 'itself' | 'rumour' | 'exchange' | 'own-finding'

/** Of thousands that are held for dead after a partition; others tell the rest. */
const maxToldAtOnce = 32

/** Weighs what is said of members, keeps the table, and refutes what is said wrongly of this node. */
export class ClaimBook {
  readonly #context: MachineContext
  readonly #rumours: RumourQueue
  readonly #suspicions: Suspicions
  readonly #ring: ProbeRing
  readonly #health: LocalHealth
  readonly #wants: Wants
  /** Short ids of nodes that were revoked. */
  readonly #expelled = new Set<string>()
  /** Called when somebody else's suspicion is news here. */
  onSuspicion: (member: number) => void = () => undefined
  #hasFinding = false
  /** Whom the other one held for dead, in the exchange that is read just now. */
  #accused: number[] = []

  constructor(
    context: MachineContext,
    parts: { rumours: RumourQueue; suspicions: Suspicions; ring: ProbeRing; health: LocalHealth },
  ) {
    this.#context = context
    this.#rumours = parts.rumours
    this.#suspicions = parts.suspicions
    this.#ring = parts.ring
    this.#health = parts.health
    this.#wants = new Wants(context)
  }

  get waiting(): number {
    return this.#wants.size
  }

  /** Has this node itself found something out since this was asked last? Then the next gossip tick is too far. */
  takeFinding(): boolean {
    const hadFinding = this.#hasFinding
    this.#hasFinding = false
    return hadFinding
  }

  /**
   * Those who are to be told, each by itself, that somebody held it for dead in this exchange, so that they refute it. Of a
   * few it is news for everybody; of half a cluster, which another half has given up, it would only be in the way of what
   * they answer.
   */
  takeAccused(): number[] {
    const accused = this.#accused
    this.#accused = []
    if (accused.length > this.#context.settings.maxRumoursPerPacket)
      return this.#context.draw(maxToldAtOnce, accused)
    for (const member of accused) this.#rumours.add(member)
    return []
  }

  /** What this node says of a member now. */
  claimOf(member: number): Claim {
    const { table, directory, self, leaving } = this.#context
    const state = member === self && leaving ? stateCode.left : (table.stateOf(member) as Claim['state'])
    return {
      shortId: directory.shortIdAt(member),
      incarnation: table.incarnation[member]!,
      state,
      hash: this.#context.recordOf(member).hash,
      ...this.#accusationOf(member),
    }
  }

  #accusationOf(member: number): Pick<Claim, 'accusers' | 'refused'> {
    const voices = this.#suspicions.voicesOf(member)
    if (voices === undefined || voices.accusers.length === 0) return {}
    const accusers = voices.accusers.map((accuser) => this.#context.directory.shortIdAt(accuser))
    return { accusers, refused: voices.refused }
  }

  /** A node was revoked: it has left, whatever it or others say. */
  expel(peerId: PeerId): void {
    const { directory, table, self } = this.#context
    const shortId = shortIdOf(publicKeyFromPeerId(peerId))
    const member = directory.find(shortId)
    if (member === self) return
    this.#expelled.add(shortId)
    if (member === undefined || table.stateOf(member) === 0) return
    const { incarnation, state } = this.#knownOf(member)
    if (state === stateCode.left) return
    const claim = { shortId, incarnation, state: stateCode.left, hash: this.#context.recordOf(member).hash }
    this.#transition(member, claim, 'it was revoked', 'own-finding')
  }

  apply(claim: Claim, source: ClaimSource, teller: PeerId): void {
    if (this.#expelled.has(claim.shortId)) {
      this.#context.observe('expelled')
      return
    }
    const { directory, table, self, settings } = this.#context
    const member = directory.find(claim.shortId)
    const isMember = member !== undefined && table.stateOf(member) !== 0
    const known = isMember ? table.incarnation[member]! : 0
    if (claim.incarnation > known + settings.maxIncarnationStep) {
      this.#context.observe('incarnation-refused')
      return
    }
    if (member === self) this.#hearOfSelf(claim, teller)
    else if (isMember) this.#applyToMember(member, claim, source, teller)
    else if (claim.state < stateCode.dead) this.#wants.add(claim, teller)
    else this.#wants.void(claim)
  }

  /** A record arrived that is verified and attested. */
  acceptRecord(signed: SignedRecord): void {
    if (this.#expelled.has(signed.shortId)) return
    const { directory, table, self, own, settings } = this.#context
    const claim = this.#wants.take(signed.shortId, signed.hash)
    const member = directory.find(signed.shortId)
    if (member === self) {
      if (signed.hash !== own.hash && signed.record.sequence >= own.record.sequence)
        this.#context.emit({ type: 'own-record-outdated', sequence: signed.record.sequence })
      return
    }
    if (member !== undefined && table.stateOf(member) !== 0) {
      const replaces = signed.record.sequence > this.#context.recordOf(member).record.sequence
      if (replaces) this.#replaceRecord(member, signed)
      if (claim !== undefined && overrides(claim, this.#knownOf(member)))
        this.#transition(member, claim, 'it said so', 'rumour')
      else if (replaces) this.#announce(member, stateOfCode(table.stateOf(member)), 'its record changed')
      return
    }
    if (claim === undefined) return
    if (table.members >= settings.maxMembers) {
      this.#context.observe('members-full')
      return
    }
    this.#admit(signed, claim)
  }

  /** The own record or incarnation has changed: everybody must hear of it. */
  speakForSelf(signed: SignedRecord): void {
    this.#context.own = signed
    this.#raise(this.#context.table.incarnation[this.#context.self]!)
    this.#announce(this.#context.self, 'alive', 'its record changed')
  }

  forget(member: number): void {
    const { table, directory, nowMs } = this.#context
    const peerId = directory.peerIdAt(member)
    this.#rumours.drop(member)
    this.#ring.remove(member)
    directory.releaseRecord(table.record[member]!)
    table.setState(member, 0, nowMs)
    directory.release(member)
    this.#context.emit({ type: 'forgotten', peerId })
  }

  #knownOf(member: number): { incarnation: number; state: number } {
    const { table } = this.#context
    return { incarnation: table.incarnation[member]!, state: table.stateOf(member) }
  }

  #applyToMember(member: number, claim: Claim, source: ClaimSource, teller: PeerId): void {
    const known = this.#knownOf(member)
    this.#wants.void(claim)
    if (!overrides(claim, known)) {
      const isSame = claim.incarnation === known.incarnation
      if (isSame && claim.state !== stateCode.alive) this.#confirm(member, claim)
      else if (isSame && claim.hash !== this.#context.recordOf(member).hash) this.#wants.add(claim, teller)
      return
    }
    if (claim.state < stateCode.dead && claim.hash !== this.#context.recordOf(member).hash) {
      this.#wants.add(claim, teller)
      return
    }
    // A death told after a partition is old: the member gets the time to refute it (memberlist does the same).
    const isOldNews = source === 'exchange' && claim.state === stateCode.dead && known.state < stateCode.dead
    if (!isOldNews) this.#transition(member, claim, reasonOf(claim, source), source)
    else if (claim.incarnation > known.incarnation || known.state < stateCode.suspect) {
      this.#transition(member, { ...claim, state: stateCode.suspect }, 'others hold it for dead', 'old-death')
      this.#accused.push(member)
    }
  }

  #confirm(member: number, claim: Claim): void {
    let isNews = false
    for (const [index, accuser] of (claim.accusers ?? []).entries()) {
      const isRefused = index < (claim.refused ?? 0)
      if (!this.#suspicions.hasRoom(member, isRefused)) continue
      const voice = this.#voiceOf(accuser)
      if (voice === undefined || !this.#suspicions.confirm(member, voice, isRefused)) continue
      this.#context.observe('confirmed')
      isNews = true
    }
    if (isNews) this.#rumours.add(member)
  }

  /** The accuser's number; undefined where it isn't a live member, whose word alone counts. */
  #voiceOf(accuser: string): number | undefined {
    const { directory, table } = this.#context
    const index = directory.find(accuser)
    if (index === undefined) return undefined
    const state = table.stateOf(index)
    return state === stateCode.alive || state === stateCode.suspect ? index : undefined
  }

  #voicesOf({ accusers = [], refused = 0 }: Claim): Voices {
    const voices = accusers.map((accuser) => this.#voiceOf(accuser))
    const isVoice = (voice: number | undefined) => voice !== undefined
    return { accusers: voices.filter(isVoice), refused: voices.slice(0, refused).filter(isVoice).length }
  }

  #transition(member: number, claim: Claim, reason: string, source: ClaimSource | 'old-death'): void {
    const { table, nowMs } = this.#context
    const from = table.stateOf(member)
    table.incarnation[member] = claim.incarnation
    if (from !== claim.state) table.setState(member, claim.state, nowMs)
    this.#suspicions.end(member)
    if (claim.state === stateCode.suspect || claim.state === stateCode.stalled) {
      const kind = claim.state === stateCode.suspect ? 'suspect' : 'stalled'
      this.#suspicions.begin(member, kind, this.#voicesOf(claim))
      this.#context.observe('suspected')
      if (source !== 'own-finding') this.onSuspicion(member)
    }
    if (isProbed(claim.state)) this.#ring.add(member)
    else this.#ring.remove(member)
    if (source !== 'old-death') this.#rumours.add(member)
    if (from !== claim.state) this.#announce(member, stateOfCode(from), reason)
    if (source === 'own-finding') this.#hasFinding = true
    if (claim.state === stateCode.alive && from !== stateCode.alive) this.#checkName(member)
  }

  #admit(signed: SignedRecord, claim: Claim): void {
    const { directory, table } = this.#context
    const member = directory.acquire(signed.record.peerId)
    table.setState(member, 0, this.#context.nowMs)
    table.record[member] = directory.acquireRecord(signed)
    this.#transition(member, { ...claim, state: stateCode.alive }, 'new', 'rumour')
    if (claim.state !== stateCode.alive) this.#transition(member, claim, reasonOf(claim, 'rumour'), 'rumour')
  }

  #replaceRecord(member: number, signed: SignedRecord): void {
    const { directory, table } = this.#context
    const before = table.record[member]!
    table.record[member] = directory.acquireRecord(signed)
    directory.releaseRecord(before)
    this.#checkName(member)
  }

  #checkName(member: number): void {
    const { directory, table } = this.#context
    const { name } = this.#context.recordOf(member).record
    const bearers = new Set([member])
    for (const other of directory.namesakes(name)) {
      const isLive = table.stateOf(other) === stateCode.alive
      if (isLive && this.#context.recordOf(other).record.name === name) bearers.add(other)
    }
    if (this.#context.own.record.name === name) bearers.add(this.#context.self)
    if (bearers.size < 2) return
    const peerIds = [...bearers].map((index) => directory.peerIdAt(index))
    this.#context.emit({ type: 'name-conflict', name, peerIds })
  }

  #hearOfSelf(claim: Claim, teller: PeerId): void {
    const { table, self, own, leaving } = this.#context
    const incarnation = table.incarnation[self]!
    if (leaving || claim.incarnation < incarnation) return
    const isForeign = claim.hash !== own.hash
    if (isForeign) this.#context.emit({ type: 'fetch', teller, shortId: claim.shortId, hash: claim.hash })
    if (claim.state === stateCode.alive && claim.incarnation === incarnation && !isForeign) return
    if (claim.state !== stateCode.alive) {
      this.#health.adjust(1)
      this.#context.observe('refuted')
    }
    this.#raise(claim.incarnation)
  }

  #raise(above: number): void {
    const { table, self } = this.#context
    table.incarnation[self] = above + 1
    this.#rumours.add(self)
    this.#context.emit({ type: 'incarnation', incarnation: above + 1 })
  }

  #announce(member: number, from: ReturnType<typeof stateOfCode>, reason: string): void {
    const { table, directory } = this.#context
    const to = stateOfCode(table.stateOf(member))
    if (to === undefined) return
    const incarnation = table.incarnation[member]!
    this.#context.emit({ type: 'changed', peerId: directory.peerIdAt(member), from, to, incarnation, reason })
  }
}

function reasonOf(claim: Claim, source: ClaimSource): string {
  if (source === 'own-finding')
    return claim.refused ? 'its host refused a connection' : 'no answer to a probe'
  if (source === 'itself') return 'it said so'
  return source === 'exchange' ? 'told in an exchange' : 'told by a rumour'
}
