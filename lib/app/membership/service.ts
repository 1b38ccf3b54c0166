import type { PeerHint } from '../../core/cluster.ts'
import { describeError } from '../../core/errors.ts'
import { type Endpoint, isReachable, type Member, type MemberChange } from '../../core/peer.ts'
import type { PeerId } from '../../core/peer-id.ts'
import { MemberDirectory } from '../../membership/directory.ts'
import type { MembershipEvent } from '../../membership/events.ts'
import { MembershipMachine } from '../../membership/machine.ts'
import type { MembershipSnapshot } from '../../membership/snapshot.ts'
import { Bootstrap } from './bootstrap.ts'
import { NeighbourKeeper } from './connections.ts'
import { MembershipDriver, type ServiceEffect } from './driver.ts'
import { Exchanger } from './exchanger.ts'
import { RecordFetcher } from './fetcher.ts'
import { MembershipMemory } from './memory.ts'
import type { ChangeableFacts, MembershipOptions, RunningMembership } from './options.ts'
import { OwnRecord } from './own-record.ts'
import { admitRecord } from './records.ts'
import { RegistryLists } from './registry-lists.ts'
import { MembershipReports } from './reports.ts'
import { SnapshotFile } from './snapshot-file.ts'
import { MembershipTransport } from './transport.ts'
import { MembersView, registriesHashOf } from './view.ts'

const upkeepIntervalMs = 1_000
const leaveTimeoutMs = 2_000
/** A wall clock that ran ahead of the monotonic one by so much: the machine slept. */
const sleptThresholdMs = 2_000

/**
 * Reads what the node remembers and builds its membership; `start` joins the cluster. Call it before the network
 * starts, so that no message is missed.
 * @throws StarlingError FRAME_TOO_LARGE where name, zone and addresses don't fit a member record
 */
export async function createMembershipService(options: MembershipOptions): Promise<RunningMembership> {
  const logger = options.logger.child({ part: 'membership' })
  const file = new SnapshotFile(options.snapshotPath, logger)
  return new Membership({ ...options, logger }, file, await file.load())
}

class Membership implements RunningMembership {
  readonly #options: MembershipOptions
  readonly #machine: MembershipMachine
  readonly #driver: MembershipDriver
  readonly #view: MembersView
  readonly #record: OwnRecord
  readonly #memory: MembershipMemory
  readonly #reports: MembershipReports
  readonly #transport: MembershipTransport
  readonly #exchanger: Exchanger
  readonly #fetcher: RecordFetcher
  readonly #lists: RegistryLists
  readonly #neighbours: NeighbourKeeper
  readonly #bootstrap: Bootstrap
  readonly #listeners = new Set<(change: MemberChange) => void>()
  #upkeep: NodeJS.Timeout | undefined
  #isRecordTold = true
  #clockOffsetMs: number
  #usesDatagrams = true
  #stopListening: () => void = () => undefined
  #onLeft: () => void = () => undefined

  constructor(options: MembershipOptions, file: SnapshotFile, snapshot: MembershipSnapshot | undefined) {
    const { attestations, clock, connector, logger, metrics, own, rng, rpc } = options
    this.#options = options
    const sequence = Math.max(clock.wallMs(), (snapshot?.sequence ?? 0) + 1)
    this.#record = new OwnRecord(own, options.privateKey, options.registries, sequence)
    this.#clockOffsetMs = clock.wallMs() - clock.monotonicMs()
    const machine = new MembershipMachine({
      self: this.#record.sign(),
      incarnation: (snapshot?.incarnation ?? 0) + 1,
      directory: new MemberDirectory(),
      rng,
      ...(options.settings === undefined ? {} : { settings: options.settings }),
    })
    this.#machine = machine
    this.#view = new MembersView(machine, clock, own.peerId)
    const admit = (given: Parameters<typeof admitRecord>[0]) =>
      admitRecord(given, { attestations, self: own.peerId, logger, metrics })
    this.#memory = new MembershipMemory({
      file,
      machine,
      attestations,
      rng,
      snapshot,
      self: own.peerId,
      admit,
    })
    this.#reports = new MembershipReports(logger, metrics, clock)
    const receive = (from: PeerId, body: Uint8Array, replyTo: Endpoint | undefined) =>
      this.#step({ type: 'message', from, body, replyTo })
    const isConnected = (peerId: PeerId) => this.#connected().includes(peerId)
    const { datagrams } = options
    const sending = { datagrams, rpc, clock, logger, metrics }
    this.#transport = new MembershipTransport({ ...sending, isConnected, receive })
    this.#driver = new MembershipDriver({
      machine,
      clock,
      rpc,
      isConnected,
      send: (to, endpoint, body) => this.#transport.send(to, endpoint, body),
      perform: (effect) => this.#perform(effect),
    })
    this.#lists = new RegistryLists({
      rpc,
      logger,
      nowMs: () => clock.monotonicMs(),
      onKnown: (hash) => this.#registriesKnown(hash),
    })
    this.#lists.add(this.#record.registries)
    this.#exchanger = new Exchanger({
      rpc,
      machine,
      attestations,
      rng,
      logger,
      connected: () => this.#connected(),
      apply: (from, claims) => this.#step({ type: 'claims', from, claims }),
      registriesByHash: (hash) => this.#lists.get(hash),
    })
    this.#fetcher = new RecordFetcher({
      rpc,
      rng,
      logger,
      connected: () => this.#connected(),
      admit,
      accept: (signed) => this.#step({ type: 'record', signed }),
    })
    const registriesOf = (peerId: PeerId) => this.registriesOf(peerId)
    this.#neighbours = new NeighbourKeeper({ connector, clock, rng, logger, registriesOf })
    this.#bootstrap = new Bootstrap({
      bootstrap: options.bootstrap,
      connector,
      rng,
      logger,
      self: own.peerId,
      covered: () => this.#view.liveAddresses(),
      remembered: () => this.#memory.remembered(),
      hasCompany: () => this.hasCompany(),
      exchange: (peer) => this.#exchanger.exchange(peer),
    })
    connector.setAddressBook((peerId) => machine.get(peerId)?.signed.record.p2p ?? [])
  }

  async start(): Promise<void> {
    if (this.#driver.running) return
    this.#stopListening = this.#options.connector.onConnection((peerId, state) => {
      if (state === 'closed' && !this.#neighbours.wasDropped(peerId)) this.hint(peerId, 'closed')
    })
    this.#memory.changed(this.#record.sequence)
    await this.#memory.save()
    this.#driver.start()
    if (!this.#isRecordTold) this.#tellOwnRecord()
    this.#checkTransport()
    this.#upkeep = setInterval(() => this.#keepUp(), upkeepIntervalMs)
    this.#bootstrap.start()
  }

  async stop(): Promise<void> {
    if (!this.#driver.running) return
    this.#driver.stop()
    this.#stopListening()
    clearInterval(this.#upkeep)
    this.#bootstrap.stop()
    this.#fetcher.stop()
    await this.#memory.save()
  }

  async leave(): Promise<void> {
    if (!this.#driver.running) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#onLeft = resolve
    const timer = setTimeout(resolve, leaveTimeoutMs)
    this.#bootstrap.stop()
    this.#step({ type: 'leave' })
    await promise
    clearTimeout(timer)
  }

  self(): Member {
    return this.#view.self()
  }

  members(): readonly Member[] {
    return this.#view.all()
  }

  get(peerId: PeerId): Member | undefined {
    return this.#view.get(peerId)
  }

  registriesOf(peerId: PeerId): readonly string[] | undefined {
    if (peerId === this.#options.own.peerId) return this.#record.registries
    const view = this.#machine.get(peerId)
    return view === undefined ? undefined : this.#lists.get(registriesHashOf(view.signed))
  }

  onChange(listener: (change: MemberChange) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  hint(peerId: PeerId, hint: PeerHint): void {
    this.#step({ type: 'hint', peerId, hint })
  }

  setRegistries(registries: readonly string[]): void {
    if (!this.#record.setRegistries(registries)) return
    this.#lists.add(this.#record.registries)
    this.#tellOwnRecord()
  }

  setFacts(change: ChangeableFacts): void {
    if (this.#record.setFacts(change)) this.#tellOwnRecord()
  }

  retell(): void {
    this.#record.outdo(this.#record.sequence)
    this.#tellOwnRecord()
  }

  expel(peerId: PeerId): void {
    this.#step({ type: 'expel', peerId })
  }

  hasCompany(): boolean {
    return this.#machine.gauges().live > 1
  }

  whenJoined(timeoutMs: number): Promise<boolean> {
    if (this.hasCompany()) return Promise.resolve(true)
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const timer = setTimeout(resolve, timeoutMs, false)
    const stopListening = this.onChange(() => {
      if (this.hasCompany()) resolve(true)
    })
    return promise.finally(() => {
      clearTimeout(timer)
      stopListening()
    })
  }

  #step(event: MembershipEvent): void {
    this.#driver.step(event)
  }

  #perform(effect: ServiceEffect): void {
    switch (effect.type) {
      case 'fetch':
        this.#fetcher.want(effect.hash, effect.teller)
        break
      case 'push-pull':
        void (effect.isExact
          ? this.#exchanger.exchange(effect.with)
          : this.#exchanger.exchangeNear(effect.with))
        break
      case 'changed':
        this.#tell(effect)
        break
      case 'forgotten':
        this.#options.logger.debug({ peerId: effect.peerId }, 'a member is forgotten')
        break
      case 'name-conflict':
        this.#reports.nameConflict(
          effect,
          effect.peerIds.flatMap((peerId) => this.get(peerId) ?? []),
        )
        break
      case 'own-record-outdated':
        this.#record.outdo(effect.sequence)
        this.#tellOwnRecord()
        break
      case 'incarnation':
        this.#memory.changed(this.#record.sequence)
        break
      case 'observed':
        this.#options.metrics.count('starling_membership_events_total', { event: effect.what })
        if (effect.what === 'probe-tcp-only') this.#transport.noteTcpOnlyProbe()
        break
      case 'left':
        this.#onLeft()
        break
    }
  }

  #tell(effect: ServiceEffect & { type: 'changed' }): void {
    const member = this.get(effect.peerId)
    if (member === undefined) return
    this.#wantRegistries(member)
    this.#memory.changed(this.#record.sequence)
    this.#reports.changed(member, effect.from, effect.reason)
    this.#notify({ member, from: effect.from })
  }

  #keepUp(): void {
    const { clock, metrics } = this.#options
    const offsetMs = clock.wallMs() - clock.monotonicMs()
    if (offsetMs - this.#clockOffsetMs > sleptThresholdMs) this.#step({ type: 'slept' })
    this.#clockOffsetMs = offsetMs
    this.#checkTransport()
    const live = this.#view.reachable()
    for (const member of live) this.#wantRegistries(member)
    this.#neighbours.keep(live, this.#record.registries)
    this.#reports.gauges(this.#machine)
    metrics.set('starling_membership_timers', this.#driver.timers)
    this.#memory.tick(clock.monotonicMs())
  }

  #checkTransport(): void {
    const datagrams = this.#transport.usesDatagrams()
    if (!datagrams) this.#step({ type: 'neighbours', peers: this.#connected() })
    if (datagrams === this.#usesDatagrams) return
    this.#usesDatagrams = datagrams
    this.#step({ type: 'transport', datagrams })
  }

  /** Before the start it is told with the first event. */
  #tellOwnRecord(): void {
    this.#memory.changed(this.#record.sequence)
    this.#isRecordTold = this.#driver.running
    this.#step({ type: 'own-record', signed: this.#record.sign() })
  }

  #wantRegistries(member: Member): void {
    if (isReachable(member.state)) this.#lists.want(registriesHashOf(member), member.record.peerId)
  }

  /** Members whose registries are known only now are told again, so that listeners can ask for them. */
  #registriesKnown(hash: string): void {
    for (const view of this.#machine.members()) {
      if (registriesHashOf(view.signed) !== hash) continue
      const member = this.get(view.signed.record.peerId)
      if (member === undefined) continue
      this.#notify({ member, from: member.state })
    }
  }

  #notify(change: MemberChange): void {
    for (const listener of this.#listeners) {
      try {
        listener(change)
      } catch (error) {
        this.#options.logger.error({ reason: describeError(error) }, 'a listener of membership failed')
      }
    }
  }

  #connected(): readonly PeerId[] {
    return this.#options.connector.connections().map(({ peerId }) => peerId)
  }
}
