import type { KeyObject } from 'node:crypto'
import type { Endpoint, MemberRecord, MemberState } from '../../../lib/core/peer.ts'
import type { PeerId } from '../../../lib/core/peer-id.ts'
import { MemberDirectory } from '../../../lib/membership/directory.ts'
import type { Effect, MembershipEvent, Observation } from '../../../lib/membership/events.ts'
import { decodeClaims, encodeClaims } from '../../../lib/membership/exchange.ts'
import { MembershipMachine } from '../../../lib/membership/machine.ts'
import type { Claim } from '../../../lib/membership/messages.ts'
import { hashRegistries, signRecord } from '../../../lib/membership/record.ts'
import { simIdentity } from '../identity.ts'
import type { SimKernel } from '../kernel.ts'

/** A change that one node saw in another. */
export interface Sighting {
  readonly atMs: number
  readonly observer: string
  readonly member: string
  readonly from: MemberState | undefined
  readonly to: MemberState
  readonly incarnation: number
  readonly reason: string
}

interface SimMember {
  readonly name: string
  readonly key: KeyObject
  readonly peerId: PeerId
  machine: MembershipMachine
  sequence: number
  /** What survives on its disk. */
  incarnation: number
}

export interface ClusterOptions {
  /** Without a disk a node begins each life at incarnation 1. */
  readonly hasDisk?: boolean
}

/**
 * Many shipped machines on one kernel. It plays the service around each: sends, dials, fetches and joins; all that
 * crosses between nodes passes the shipped encoders.
 */
export class SimCluster {
  readonly kernel: SimKernel
  readonly sightings: Sighting[] = []
  readonly observed = new Map<Observation, number>()
  readonly conflicts: string[] = []
  readonly goodbyes = new Set<string>()
  readonly #directory = new MemberDirectory()
  readonly #members = new Map<string, SimMember>()
  readonly #nameOf = new Map<PeerId, string>()
  readonly #hasDisk: boolean
  /** Called after each step with the machine that made it. */
  onStep: (node: string, machine: MembershipMachine) => void = () => undefined

  constructor(kernel: SimKernel, options: ClusterOptions = {}) {
    this.kernel = kernel
    this.#hasDisk = options.hasDisk ?? true
  }

  get names(): string[] {
    return [...this.#members.keys()]
  }

  /** Adds nodes and lets them join through the first one. */
  boot(count: number): string[] {
    const names = Array.from({ length: count }, (_, index) => `n${index}`)
    for (const name of names) this.add(name)
    return names
  }

  add(name: string, shownName = name): void {
    const { peerId, privateKey } = simIdentity(`${this.kernel.seed} ${name}`)
    this.#nameOf.set(peerId, name)
    const member = { name, key: privateKey, peerId, sequence: 0, incarnation: 0 }
    this.#boot(Object.assign(member, { machine: undefined as unknown as MembershipMachine }), shownName)
  }

  /** A new life of a killed or vanished node. */
  restart(name: string): void {
    this.goodbyes.delete(name)
    this.#boot(this.#member(name), name)
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
    const member = this.#member(name)
    if (this.kernel.conditionOf(name) !== 'up') return
    this.#perform(member, member.machine.step(event, this.#nowOf(name)))
    this.onStep(name, member.machine)
  }

  #boot(member: SimMember, shownName: string): void {
    const { name } = member
    member.sequence++
    const incarnation = this.#hasDisk ? member.incarnation + 1 : 1
    member.incarnation = incarnation
    const self = this.#sign(member, shownName)
    const rng = this.kernel.fork()
    member.machine = new MembershipMachine({ self, incarnation, directory: this.#directory, rng })
    this.#members.set(name, member)
    this.kernel.boot(name, (from, body) => this.#receive(name, from, body))
    this.step(name, { type: 'start' })
    this.#join(name, 0)
  }

  /** Bootstrap: asked until somebody answers, and again now and then. */
  #join(name: string, afterMs: number): void {
    this.kernel.scheduleFor(name, afterMs, () => {
      const others = this.names.filter((other) => other !== name)
      const bootstrap = [others[0], others[1]].filter((other) => other !== undefined)
      const isJoined = bootstrap.filter((other) => this.#exchange(name, other)).length > 0
      this.#join(name, isJoined || bootstrap.length === 0 ? 60_000 : 1000)
    })
  }

  #receive(name: string, from: string, body: Uint8Array): void {
    this.step(name, { type: 'message', from: this.peerId(from), body, replyTo: endpointOf(from) })
  }

  #perform(member: SimMember, effects: readonly Effect[]): void {
    for (const effect of effects) this.#performOne(member, effect)
  }

  #performOne(member: SimMember, effect: Effect): void {
    const { name } = member
    switch (effect.type) {
      case 'send':
        this.kernel.send(name, this.#name(effect.to), effect.body)
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
        this.step(name, { type: 'own-record', signed: this.#sign(member, name) })
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
    this.sightings.push({ atMs: this.kernel.nowMs(), observer, member, from, to, incarnation, reason })
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
        const answers = this.machine(other).step(event, this.#nowOf(other))
        const isReply = (answer: Effect) => answer.type === 'send' && answer.to === this.peerId(name)
        this.#perform(
          this.#member(other),
          answers.filter((answer) => !isReply(answer)),
        )
        this.#after(name, () => {
          for (const answer of answers)
            if (answer.type === 'send' && isReply(answer)) this.#receive(name, other, answer.body)
          conclude('answered')
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
    const told = overTheWire(this.machine(other).state())
    this.step(name, { type: 'claims', from: this.peerId(other), claims: told })
    const lacking = overTheWire(this.machine(name).lacking(told))
    this.step(other, { type: 'claims', from: this.peerId(name), claims: lacking })
    return true
  }

  #after(name: string, action: () => void): void {
    this.kernel.scheduleFor(name, this.kernel.delayMs(), action)
  }

  #sign(member: SimMember, name: string) {
    const record: MemberRecord = {
      peerId: member.peerId,
      sequence: member.sequence,
      name,
      p2p: [endpointOf(member.name)],
      registryPort: 6443,
      zone: 'z1',
      role: 'agent',
      version: '0.1.0',
      registriesCount: 0,
      registriesHash: hashRegistries([]),
      certificateKeyHash: new Uint8Array(32),
    }
    return signRecord(record, member.key)
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

function overTheWire(claims: readonly Claim[]): Claim[] {
  return [...encodeClaims(claims)].flatMap(decodeClaims)
}

function endpointOf(name: string): Endpoint {
  const number = Number(/\d+/.exec(name)?.[0] ?? 0)
  return { host: `10.0.${number >> 8}.${number & 255}`, port: 5001 }
}
