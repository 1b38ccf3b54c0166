import type { MemberState } from '../../../lib/core/peer.ts'
import type { PeerId } from '../../../lib/core/peer-id.ts'
import { MemberDirectory } from '../../../lib/membership/directory.ts'
import type { Effect, MembershipEvent, Observation } from '../../../lib/membership/events.ts'
import { decodeClaims, encodeClaims } from '../../../lib/membership/exchange.ts'
import { MembershipMachine } from '../../../lib/membership/machine.ts'
import { type Claim, decodeMessage, messageType } from '../../../lib/membership/messages.ts'
import type { MembershipSettings } from '../../../lib/membership/settings.ts'
import type { SimKernel } from '../kernel.ts'
import { settledMachine } from './settled.ts'
import type { Sighting } from './sighting.ts'
import { makeMember, type SimMember, signMember } from './sim-member.ts'
import { Traces } from './trace.ts'

export interface ClusterOptions {
  /** Without a disk a node begins each life at incarnation 1. */
  readonly hasDisk?: boolean
  readonly settings?: MembershipSettings
  readonly zoneOf?: (number: number) => string
  /** UDP is blocked, and the nodes know it. */
  readonly tcpOnly?: boolean
  /** Steps that are kept of each node, for the trace of a violated invariant. */
  readonly traceDepth?: number
}

/** Nodes that are this far from each other in the order of boot are connected. */
const neighbourDistances = [1, 2, 5, 11, 17, 29, 37, 53]
/** Reading, comparing and writing one claim of an exchange, measured with 10,000 of them. */
const claimCpuMs = 0.004
/** Bootstrap addresses without a live member are asked again so often. */
const askAgainMs = 60_000

/**
 * Many shipped machines on one kernel. It plays the service around each: sends, dials, fetches and joins; all that
 * crosses between nodes passes the shipped encoders.
 */
export class SimCluster {
  readonly kernel: SimKernel
  /** All of them, unless `onSighting` takes them. */
  readonly sightings: Sighting[] = []
  readonly observed = new Map<Observation, number>()
  readonly conflicts: string[] = []
  readonly goodbyes = new Set<string>()
  readonly #options: ClusterOptions
  readonly #traces: Traces
  readonly #directory = new MemberDirectory()
  readonly #members = new Map<string, SimMember>()
  readonly #nameOf = new Map<PeerId, string>()
  readonly #names: string[] = []
  /** Called after each step with the machine that made it. */
  onStep: (node: string, machine: MembershipMachine) => void = () => undefined
  onSighting: (sighting: Sighting) => void = (sighting) => void this.sightings.push(sighting)

  constructor(kernel: SimKernel, options: ClusterOptions = {}) {
    this.kernel = kernel
    this.#options = options
    this.#traces = new Traces(options.traceDepth ?? 30)
  }

  get names(): readonly string[] {
    return this.#names
  }

  /** What the node did last, for the message of a violated invariant. */
  trace(name: string): string {
    return this.#traces.of(name, (peerId) => this.#name(peerId))
  }

  /** Adds nodes and lets them join through the first two. */
  boot(count: number): readonly string[] {
    for (let index = 0; index < count; index++) this.add(`n${index}`)
    return this.#names
  }

  /**
   * Adds nodes that have been running for a while: all know one another, or, where they are parted, those of their half
   * and hold the others for dead.
   */
  bootSettled(count: number, isParted = false): void {
    const members = Array.from({ length: count }, (_, index) => this.#register(`n${index}`))
    const records = members.map((member) => signMember(Object.assign(member, { sequence: 1 }), member.name))
    const middle = isParted ? Math.floor(count / 2) : count
    const parts = { directory: this.#directory, rng: this.kernel.fork() }
    for (const [start, end] of [[0, middle] as const, [middle, count] as const]) {
      const [first, ...rest] = records.slice(start, end)
      if (first === undefined) continue
      const template = settledMachine(parts, [first, ...rest], records.toSpliced(start, end - start))
      for (const member of members.slice(start, end))
        this.#boot(Object.assign(member, { sequence: 0 }), member.name, template)
    }
  }

  add(name: string, shownName = name): void {
    this.#boot(this.#register(name), shownName)
  }

  /** A new life of a killed or vanished node. */
  restart(name: string): void {
    this.goodbyes.delete(name)
    this.#boot(this.#member(name), name)
  }

  /** Kills the process; its kernel closes the connections to its neighbours. */
  kill(name: string): void {
    this.kernel.halt(name, 'killed')
    for (const neighbour of this.neighboursOf(name)) {
      if (this.kernel.conditionOf(neighbour) !== 'up' || !this.kernel.isOpen(name, neighbour)) continue
      const hint = { type: 'hint', peerId: this.peerId(name), hint: 'closed' } as const
      this.#after(neighbour, () => this.step(neighbour, hint))
    }
  }

  /** Those with which it has a connection. */
  neighboursOf(name: string): string[] {
    const { number } = this.#member(name)
    const count = this.#names.length
    const numbers = neighbourDistances.flatMap((distance) => [
      (number + distance) % count,
      (number + count - (distance % count)) % count,
    ])
    return [...new Set(numbers)].filter((other) => other !== number).map((other) => this.#names[other]!)
  }

  machine(name: string): MembershipMachine {
    return this.#member(name).machine
  }

  peerId(name: string): PeerId {
    return this.#member(name).peerId
  }

  /** What `observer` believes of `member`. */
  stateAt(observer: string, member: string): MemberState | undefined {
    return this.machine(observer).get(this.peerId(member))?.state
  }

  step(name: string, event: MembershipEvent): void {
    if (this.kernel.conditionOf(name) !== 'up') return
    this.#perform(this.#member(name), this.#stepMachine(this.#member(name), event))
  }

  #stepMachine(member: SimMember, event: MembershipEvent): Effect[] {
    const effects = member.machine.step(event, this.#nowOf(member.name))
    this.#traces.add(member.name, { atMs: this.kernel.nowMs(), event, effects })
    this.onStep(member.name, member.machine)
    return effects
  }

  #register(name: string): SimMember {
    const number = this.#names.length
    const zone = this.#options.zoneOf?.(number) ?? 'z1'
    const member = makeMember(this.kernel.seed, name, number, zone)
    this.#names.push(name)
    this.#members.set(name, member)
    this.#nameOf.set(member.peerId, name)
    return member
  }

  #boot(member: SimMember, shownName: string, like?: MembershipMachine): void {
    const { name } = member
    const { hasDisk = true, settings, tcpOnly } = this.#options
    member.sequence++
    member.incarnation = hasDisk ? member.incarnation + 1 : 1
    member.machine = new MembershipMachine({
      self: signMember(member, shownName),
      incarnation: member.incarnation,
      directory: this.#directory,
      rng: this.kernel.fork(),
      ...(settings === undefined ? {} : { settings }),
      ...(like === undefined ? {} : { like }),
    })
    this.kernel.boot(name, (from, body) => this.#receive(name, from, body))
    this.step(name, { type: 'start' })
    if (tcpOnly) this.#goWithoutDatagrams(name)
    this.#join(name, like === undefined ? 0 : askAgainMs * this.kernel.rng.next())
  }

  /** Connections come and go, and the service tells once a second which there are. */
  #goWithoutDatagrams(name: string): void {
    this.step(name, { type: 'transport', datagrams: false })
    const tell = () => {
      const peers = this.neighboursOf(name).filter((other) => this.kernel.connect(name, other) === 'answered')
      this.step(name, { type: 'neighbours', peers: peers.map((other) => this.peerId(other)) })
      this.kernel.scheduleFor(name, 1000, tell)
    }
    this.kernel.scheduleFor(name, 0, tell)
  }

  /** Bootstrap: asked until somebody answers, and again now and then, unless they are known to live. */
  #join(name: string, afterMs: number): void {
    this.kernel.scheduleFor(name, afterMs, () => {
      const bootstrap = this.#names.slice(0, 3).filter((other) => other !== name)
      const isUnknown = (other: string) => !['alive', 'suspect'].includes(this.stateAt(name, other) ?? '')
      const asked = bootstrap.slice(0, 2).filter(isUnknown)
      for (const other of asked) this.#exchange(name, other)
      const isAlone = this.machine(name).gauges().live === 1 && bootstrap.length > 0
      this.#join(name, isAlone ? 1000 : askAgainMs)
    })
  }

  #receive(name: string, from: string, body: Uint8Array): void {
    this.step(name, { type: 'message', from: this.peerId(from), body, replyTo: this.#member(from).endpoint })
  }

  #perform(member: SimMember, effects: readonly Effect[]): void {
    for (const effect of effects) this.#performOne(member, effect)
  }

  #performOne(member: SimMember, effect: Effect): void {
    const { name } = member
    switch (effect.type) {
      case 'send':
        this.#send(name, this.#name(effect.to), effect.body)
        break
      case 'schedule':
        this.kernel.scheduleFor(name, effect.timer.atMs - this.#nowOf(name), () =>
          this.step(name, { type: 'timer', timer: effect.timer }),
        )
        break
      case 'tcp-probe':
        this.#connect(name, effect)
        break
      case 'fetch':
        this.#after(name, () => this.#fetch(name, this.#name(effect.teller), effect.hash))
        break
      case 'push-pull':
        this.#after(name, () => this.#exchange(name, this.#name(effect.with)))
        break
      case 'incarnation':
        member.incarnation = effect.incarnation
        break
      case 'own-record-outdated':
        member.sequence = effect.sequence + 1
        this.step(name, { type: 'own-record', signed: signMember(member, name) })
        break
      case 'changed':
        this.#see(name, effect)
        break
      case 'name-conflict':
        this.conflicts.push(effect.name)
        break
      case 'observed':
        this.observed.set(effect.what, (this.observed.get(effect.what) ?? 0) + 1)
        break
      case 'left':
        this.goodbyes.add(name)
        this.kernel.halt(name, 'killed')
        break
      case 'forgotten':
        break
    }
  }

  #see(observer: string, effect: Effect & { type: 'changed' }): void {
    const { from, to, incarnation, reason } = effect
    const member = this.#name(effect.peerId)
    this.onSighting({ atMs: this.kernel.nowMs(), observer, member, from, to, incarnation, reason })
  }

  #send(name: string, other: string, body: Uint8Array): void {
    if (!this.#options.tcpOnly) {
      this.kernel.send(name, other, body)
      return
    }
    // Over TCP rumours are not worth a dial (`MembershipTransport`).
    const isRumour = decodeMessage(body).type === messageType.gossip
    if (isRumour && !this.neighboursOf(name).includes(other)) return
    this.kernel.charge(name, body.length, 0)
    this.#after(name, () => {
      if (this.kernel.connect(name, other) === 'answered') this.#receive(other, name, body)
    })
  }

  #connect(name: string, effect: Effect & { type: 'tcp-probe' }): void {
    const other = this.#name(effect.to)
    const { token, timeoutMs } = effect
    const conclude = (result: 'answered' | 'accepted' | 'refused' | 'silent') =>
      this.step(name, { type: 'tcp-result', token, result })
    this.#after(name, () => {
      const outcome = this.kernel.connect(name, other)
      if (outcome === 'refused' || outcome === 'accepted') conclude(outcome)
      else if (outcome !== 'answered') this.kernel.scheduleFor(name, timeoutMs, () => conclude(outcome))
      else {
        const event = {
          type: 'message',
          from: this.peerId(name),
          body: effect.body,
          replyTo: undefined,
        } as const
        const answers = this.#stepMachine(this.#member(other), event)
        const isReply = (answer: Effect) => answer.type === 'send' && answer.to === this.peerId(name)
        this.#perform(
          this.#member(other),
          answers.filter((answer) => !isReply(answer)),
        )
        this.#after(name, () => {
          conclude('answered')
          for (const answer of answers)
            if (answer.type === 'send' && isReply(answer)) this.#receive(name, other, answer.body)
        })
      }
    })
  }

  #fetch(name: string, teller: string, hash: string): void {
    if (this.kernel.connect(name, teller) !== 'answered') return
    const signed = this.machine(teller).recordByHash(hash)
    if (signed !== undefined) this.step(name, { type: 'record', signed })
  }

  #exchange(name: string, other: string): boolean {
    if (this.kernel.connect(name, other) !== 'answered') return false
    const told = this.#overTheWire(other, this.machine(other).state())
    this.step(name, { type: 'claims', from: this.peerId(other), claims: told })
    const lacking = this.#overTheWire(name, this.machine(name).lacking(told))
    this.kernel.charge(name, 0, told.length * claimCpuMs)
    this.step(other, { type: 'claims', from: this.peerId(name), claims: lacking })
    return true
  }

  #after(name: string, action: () => void): void {
    this.kernel.scheduleFor(name, this.kernel.delayMs(), action)
  }

  #overTheWire(teller: string, claims: readonly Claim[]): Claim[] {
    const frames = [...encodeClaims(claims)]
    const sizeBytes = frames.reduce((sum, frame) => sum + frame.length, 0)
    this.kernel.charge(teller, sizeBytes, claims.length * claimCpuMs)
    return frames.flatMap(decodeClaims)
  }

  #nowOf(name: string): number {
    return this.kernel.clockOf(name).monotonicMs()
  }

  #name(peerId: PeerId): string {
    return this.#nameOf.get(peerId) ?? peerId
  }

  #member(name: string): SimMember {
    const member = this.#members.get(name)
    if (member === undefined) throw new Error(`there is no node ${name}`)
    return member
  }
}
