import type { MemberState } from '../core/peer.ts'
import type { PeerId } from '../core/peer-id.ts'
import type { Rng } from '../core/ports.ts'
import { ClaimBook } from './claim-book.ts'
import { MachineContext } from './context.ts'
import type { MemberDirectory } from './directory.ts'
import type { Effect, MembershipEvent, Timer } from './events.ts'
import { LocalHealth } from './health.ts'
import { Inbox } from './inbox.ts'
import { type Claim, messageType } from './messages.ts'
import { Packets } from './packets.ts'
import { ProbeRing } from './probe-ring.ts'
import { Prober } from './prober.ts'
import type { SignedRecord } from './record.ts'
import { Relays } from './relays.ts'
import { gossipFanout, RumourQueue } from './rumours.ts'
import { defaultSettings, type MembershipSettings } from './settings.ts'
import { isHelpful, isProbed, overrides, stateCode, stateOfCode } from './states.ts'
import { Suspicions } from './suspicions.ts'
import { MemberTable } from './table.ts'
import { Upkeep } from './upkeep.ts'

export interface MachineOptions {
  readonly self: SignedRecord
  /** Greater than in any earlier life of this node, as far as it knows. */
  readonly incarnation: number
  readonly directory: MemberDirectory
  readonly rng: Rng
  readonly settings?: MembershipSettings
  /** Begins with all that this machine of the same directory knows: a simulation need not play ten thousand joins. */
  readonly like?: MembershipMachine
}

/** A member as the machine knows it; `sinceMs` is monotonic. */
export interface MemberView {
  readonly signed: SignedRecord
  readonly state: MemberState
  readonly incarnation: number
  readonly sinceMs: number
  readonly rttMs: number | undefined
}

/**
 * SWIM with Lifeguard's local health, suspicion, nacks and buddy system as a machine: `step(event, now)` returns what
 * is to be done. It knows no clock, no socket and no chance but those that are handed to it.
 * (A. Das, I. Gupta, A. Motivala: SWIM, DSN 2002. A. Dadgar, J. Phillips, J. Currey: Lifeguard, DSN-W 2018.)
 */
export class MembershipMachine {
  readonly #context: MachineContext
  readonly #rumours = new RumourQueue()
  readonly #health: LocalHealth
  readonly #suspicions: Suspicions
  readonly #ring: ProbeRing
  readonly #claims: ClaimBook
  readonly #packets: Packets
  readonly #prober: Prober
  readonly #relays: Relays
  readonly #upkeep: Upkeep
  readonly #inbox: Inbox
  #roundToken = 0
  #gossipToken = 0
  #leaveRounds = 0
  #hintsLeft: number
  /** What was due before is late for one and the same reason. */
  #awakeSinceMs = Number.NEGATIVE_INFINITY

  constructor(options: MachineOptions) {
    const settings = options.settings ?? defaultSettings
    const { directory, rng } = options
    const table = new MemberTable()
    const self = directory.acquire(options.self.record.peerId)
    const context = new MachineContext({ settings, directory, table, rng, self, own: options.self })
    this.#context = context
    this.#hintsLeft = settings.maxConcurrentProbes
    this.#health = new LocalHealth(settings.maxLocalHealth)
    this.#suspicions = new Suspicions(context)
    this.#ring = new ProbeRing(directory)
    const rumours = this.#rumours
    const shared = { rumours, suspicions: this.#suspicions, ring: this.#ring, health: this.#health }
    this.#claims = new ClaimBook(context, shared)
    this.#packets = new Packets(context, rumours, this.#claims)
    const [claims, packets, health] = [this.#claims, this.#packets, this.#health]
    this.#prober = new Prober(context, { packets, claims, suspicions: this.#suspicions, health })
    this.#relays = new Relays(context, packets)
    this.#upkeep = new Upkeep(context, packets, claims)
    const [suspicions, prober, relays, upkeep] = [this.#suspicions, this.#prober, this.#relays, this.#upkeep]
    this.#inbox = new Inbox(context, { packets, claims, suspicions, prober, relays, upkeep })
    this.#claims.onSuspicion = (member) => this.#verify(member)
    if (options.like !== undefined) this.#adopt(options.like)
    table.setState(self, stateCode.alive, 0)
    this.#ring.add(self)
    table.incarnation[self] = options.incarnation
    table.record[self] = directory.acquireRecord(options.self)
  }

  #adopt(other: MembershipMachine): void {
    const { table, directory } = this.#context
    table.copy(other.#context.table)
    this.#ring.copy(other.#ring)
    for (const index of table.indexes()) {
      directory.retain(index)
      directory.retainRecord(table.record[index]!)
    }
  }

  /** Handles one event at monotonic time `nowMs` and returns the effects, in order. */
  step(event: MembershipEvent, nowMs: number): Effect[] {
    this.#context.nowMs = nowMs
    switch (event.type) {
      case 'start':
        this.#start()
        break
      case 'timer':
        this.#timer(event.timer)
        break
      case 'message':
        this.#inbox.receive(event)
        break
      case 'tcp-result':
        this.#prober.connected(event.token, event.result)
        break
      case 'claims':
        for (const claim of event.claims) this.#claims.apply(claim, 'exchange', event.from)
        for (const member of this.#claims.takeAccused()) this.#packets.sendTo(member, messageType.gossip, 0)
        break
      case 'record':
        this.#claims.acceptRecord(event.signed)
        break
      case 'own-record':
        this.#claims.speakForSelf(event.signed)
        break
      case 'hint':
        this.#hint(event.peerId, event.hint)
        break
      case 'transport':
        this.#context.datagrams = event.datagrams
        break
      case 'neighbours':
        this.#context.neighbours = event.peers
        break
      case 'slept':
        this.#slept()
        break
      case 'leave':
        this.#leave()
        break
      case 'expel':
        this.#claims.expel(event.peerId)
        break
    }
    this.#keepGossiping()
    return this.#context.takeEffects()
  }

  get(peerId: PeerId): MemberView | undefined {
    const index = this.#context.directory.findPeer(peerId)
    return index === undefined ? undefined : this.#view(index)
  }

  /** All members that are remembered, this node included. */
  *members(): Iterable<MemberView> {
    for (const index of this.#context.table.indexes()) {
      const view = this.#view(index)
      if (view !== undefined) yield view
    }
  }

  /** All that this node would tell: what a `state` request is answered with. */
  state(): Claim[] {
    return [...this.#context.table.indexes()].map((index) => this.#claims.claimOf(index))
  }

  /** What another node lacks, by what it told: what it should be pushed. */
  lacking(told: readonly Claim[]): Claim[] {
    const known = new Map(told.map((claim) => [claim.shortId, claim]))
    return this.state().filter((claim) => {
      const theirs = known.get(claim.shortId)
      if (theirs === undefined) return claim.state < stateCode.dead
      return (
        overrides(claim, theirs) || (claim.incarnation === theirs.incarnation && claim.hash !== theirs.hash)
      )
    })
  }

  /** The record with this hash, of this node or a member. */
  recordByHash(hash: string): SignedRecord | undefined {
    return this.#context.own.hash === hash ? this.#context.own : this.#context.directory.findRecord(hash)
  }

  /** Does the probe that a `tcp-probe` named still wait for an answer? */
  isProbing(token: number): boolean {
    return this.#prober.isOpen(token)
  }

  /** Sizes of all that is bounded, for metrics and the simulation's invariants. */
  gauges(): Readonly<
    Record<'members' | 'live' | 'rumours' | 'suspicions' | 'probes' | 'relays' | 'wants' | 'health', number>
  > {
    return {
      members: this.#context.table.members,
      live: this.#context.table.live,
      rumours: this.#rumours.size,
      suspicions: this.#suspicions.size,
      probes: this.#prober.size,
      relays: this.#relays.size,
      wants: this.#claims.waiting,
      health: this.#health.score,
    }
  }

  #view(index: number): MemberView | undefined {
    const { table } = this.#context
    const state = stateOfCode(table.stateOf(index))
    if (state === undefined) return undefined
    const rttMs = table.rttMs[index]!
    return {
      signed: this.#context.recordOf(index),
      state: index === this.#context.self && this.#context.leaving ? 'left' : state,
      incarnation: table.incarnation[index]!,
      sinceMs: table.sinceMs(index),
      rttMs: Number.isNaN(rttMs) ? undefined : rttMs,
    }
  }

  #start(): void {
    const { rng, settings } = this.#context
    this.#context.table.touch(this.#context.self, this.#context.nowMs)
    this.#context.startClock()
    this.#roundToken = this.#context.schedule('round', settings.probeIntervalMs * rng.next())
    this.#upkeep.start()
  }

  #timer(timer: Timer): void {
    const { settings, nowMs } = this.#context
    const lateMs = nowMs - timer.atMs
    const isNews = timer.atMs > this.#awakeSinceMs
    if (isNews && lateMs > settings.sleptThresholdMs) this.#slept()
    else if (isNews && lateMs > settings.starvedThresholdMs) this.#starved(lateMs)
    const { token } = timer
    if (timer.kind === 'round' && token === this.#roundToken) this.#round(timer.atMs)
    else if (timer.kind === 'gossip' && token === this.#gossipToken) this.#gossip()
    else if (timer.kind === 'ping') this.#prober.pingTimedOut(token)
    else if (timer.kind === 'probe') this.#prober.timedOut(token)
    else if (timer.kind === 'relay') this.#relays.timedOut(token)
    else if (timer.kind === 'suspicion') this.#suspicionsOver(token)
    else if (timer.kind === 'meeting') this.#upkeep.meet()
    else if (timer.kind === 'leave') this.#context.emit({ type: 'left' })
    else this.#context.observe('stale-timer')
  }

  #round(dueMs: number): void {
    const { settings, table, self, leaving } = this.#context
    // From when it was due, not from now: what timers are late must not add up.
    const lateMs = Math.min(settings.starvedThresholdMs, Math.max(0, this.#context.nowMs - dueMs))
    const intervalMs = this.#health.stretch(settings.probeIntervalMs)
    this.#roundToken = this.#context.schedule('round', intervalMs - lateMs)
    this.#hintsLeft = settings.maxConcurrentProbes
    if (leaving) return
    const { nowMs } = this.#context
    const isSettled = (index: number) =>
      table.stateOf(index) !== stateCode.alive || nowMs - table.sinceMs(index) >= settings.probeGraceMs
    const round = Math.floor(this.#context.clockMs / settings.probeIntervalMs)
    const member = this.#ring.next(self, round, isSettled)
    if (member !== undefined) this.#prober.begin(member, false)
    this.#upkeep.tick()
  }

  #suspicionsOver(token: number): void {
    const { peerId } = this.#context.own.record
    for (const member of this.#suspicions.expire(token))
      this.#claims.apply({ ...this.#claims.claimOf(member), state: stateCode.dead }, 'own-finding', peerId)
  }

  /** After a suspicion, some others look for themselves, so that it is confirmed or refuted soon. */
  #verify(member: number): void {
    const { rng, table, settings } = this.#context
    const share = (2 * (settings.suspicionConfirmations + 1)) / Math.max(1, table.live)
    if (rng.next() < share) this.#prober.begin(member, true)
  }

  #hint(peerId: PeerId, hint: 'refused' | 'closed' | 'stalled' | 'answered'): void {
    const { directory, table, self, leaving } = this.#context
    const member = directory.findPeer(peerId)
    if (member === undefined || member === self || leaving || !isProbed(table.stateOf(member))) return
    if (hint === 'answered') this.#suspicions.postpone(member)
    else if (this.#hintsLeft-- > 0) this.#prober.begin(member, true)
    else this.#context.observe('probe-dropped')
  }

  #slept(): void {
    this.#context.observe('slept')
    this.#awakeSinceMs = this.#context.nowMs
    this.#prober.abandonAll()
    this.#suspicions.restartAll()
    this.#health.adjust(1)
  }

  /** The event loop was held up: the own verdicts wait as much longer, since the answers are still in the sockets. */
  #starved(byMs: number): void {
    this.#context.observe('starved')
    this.#awakeSinceMs = this.#context.nowMs
    this.#prober.extendAll(byMs)
    this.#suspicions.extendAll(byMs)
    // Less than half the time that others have to answer is no reason to watch them less.
    if (byMs > this.#context.settings.probeTimeoutMs / 2) this.#health.adjust(1)
  }

  /** The gossip tick runs only while there is something to tell, and somebody to tell it to. */
  #keepGossiping(): void {
    const { settings, leaving, table } = this.#context
    // Once for all that one step has found: a rack that dies at once is thousands of findings.
    if (this.#claims.takeFinding()) this.#tell(settings.gossipFanout)
    const hasNews = leaving ? this.#leaveRounds > 0 : this.#rumours.size > 0
    if (this.#gossipToken !== 0 || !hasNews || table.live < 2) return
    this.#gossipToken = this.#context.schedule('gossip', settings.gossipIntervalMs)
  }

  #gossip(): void {
    this.#gossipToken = 0
    const { settings, leaving } = this.#context
    if (leaving) this.#leaveRounds--
    this.#tell(gossipFanout(this.#rumours.size, settings))
  }

  #tell(fanout: number): void {
    const { self, table, leaving, datagrams } = this.#context
    const fits = (index: number) => index !== self && isHelpful(table.stateOf(index))
    const listeners = datagrams
      ? this.#context.sampleNear(fanout, fits)
      : this.#context.sampleConnected(fanout, fits)
    for (const member of listeners) {
      if (this.#rumours.size === 0 && !leaving) break
      this.#packets.sendTo(member, messageType.gossip, 0)
    }
  }

  #leave(): void {
    const { settings } = this.#context
    if (this.#context.leaving) return
    this.#context.leaving = true
    this.#prober.abandonAll()
    this.#leaveRounds = settings.leaveRounds
    this.#tell(4 * settings.gossipFanout)
    this.#context.schedule('leave', settings.gossipIntervalMs * (settings.leaveRounds + 0.5))
  }
}
