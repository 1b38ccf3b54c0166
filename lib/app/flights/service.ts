import type { Digest } from '../../core/digest.ts'
import type { FlightNote } from '../../core/lookup.ts'
import type { DatagramTransport, PeerRpc } from '../../core/messaging.ts'
import type { FlightView } from '../../core/ops-view.ts'
import type { Member, MemberChange } from '../../core/peer.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Clock, Logger, Metrics, Service } from '../../core/ports.ts'
import { Claimant } from '../../flights/claimant.ts'
import type { ClaimantEffect, ClaimantEvent } from '../../flights/claimant-events.ts'
import type { FlightKey } from '../../flights/flight-key.ts'
import type { FlightMessage, Progress } from '../../flights/messages.ts'
import { defaultFlightSettings, type FlightSettings } from '../../flights/settings.ts'
import { Steward, type StewardEffect, type StewardEvent } from '../../flights/steward.ts'
import { type DownloadStore, Downloads } from './downloads.ts'
import { Stewards } from './stewards.ts'
import { FlightTransport } from './transport.ts'
import { flightViews } from './views.ts'

/** With holders at hand only larger blobs are arranged: small ones are given as fast as it is asked. */
const arrangedFromBytes = 4 * 2 ** 20
const tickMs = 1000
/** Children that a node takes, unless it gives less to peers at once. */
const maxSlots = 4
/** A claim is settled by then, whatever happens to its timers. */
const maxClaimMs = 5000
/** A store that shows a download no sooner leaves this node to follow others, without being followed. */
const maxGlanceMs = 4000

export type ClaimVerdict =
  | { readonly role: 'lead' | 'upstream' }
  | { readonly role: 'follow'; readonly parent: PeerId }

export interface FlightsOptions {
  readonly self: PeerId
  readonly members: () => readonly Member[]
  readonly memberOf: (peerId: PeerId) => Member | undefined
  readonly registriesOf: (peerId: PeerId) => readonly string[] | undefined
  readonly isNamed: (registry: string) => boolean
  /** May blobs of this registry fly? */
  readonly isEnabled: (registry: string) => boolean
  readonly hasLocal: (registry: string, digest: Digest) => boolean
  readonly datagrams: DatagramTransport
  readonly rpc: PeerRpc
  /** Requests of peers that this node answers at once, at most. */
  readonly uploadsAtOnce: () => number
  readonly store: DownloadStore
  readonly settings?: Partial<FlightSettings>
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

/** This node's part in the flights of the cluster: as steward, as leader and as follower. */
export interface FlightsService extends Service {
  /**
   * From whom the local client should get a blob. Where complete holders are known, `undefined` leaves it to them. Resolves within
   * the budgets of a claim, never rejects.
   */
  claim(
    key: FlightKey,
    asked: { readonly lost: readonly PeerId[]; readonly holders: readonly PeerId[] },
  ): Promise<ClaimVerdict | undefined>
  /** Is this node getting it, so that the peer that asks may follow? That one does is a sign that others pull the same. */
  serves(key: FlightKey): boolean
  note(note: FlightNote): Promise<'alive' | 'lost'>
  memberChanged(change: MemberChange): void
  views(): FlightView[]
}

export function createFlightsService(options: FlightsOptions): FlightsService {
  const { self, memberOf, isEnabled, clock, log, metrics } = options
  const settings = { ...defaultFlightSettings, ...options.settings }
  const stewards = new Stewards({ ...options, settings })
  const steward = new Steward(settings)
  const claimant = new Claimant(settings, {
    stewardOf: (key) => stewards.first(key),
    isHeld: ({ registry, digest }) => options.hasLocal(registry, digest),
  })
  const downloads = new Downloads(options.store)
  const waiting = new Map<number, (verdict: ClaimVerdict) => void>()
  let nextRequest = 1
  let wake: { readonly atMs: number; readonly timer: NodeJS.Timeout } | undefined
  let ticker: NodeJS.Timeout | undefined
  let running = false

  const transport = new FlightTransport({ ...options, receive })

  function nameOf(peerId: PeerId): string {
    return memberOf(peerId)?.record.name ?? peerId
  }

  function receive(from: PeerId, message: FlightMessage): void {
    if (!running) return
    if (message.type === 'claim' || message.type === 'progress') {
      if (!isEnabled(message.registry)) return
      stepSteward({ type: 'message', from, zone: memberOf(from)?.record.zone ?? '', message })
    } else step({ type: 'message', from, message })
  }

  function send(to: PeerId, message: FlightMessage): void {
    if (to === self) receive(self, message)
    else transport.send(to, message)
  }

  function stepSteward(event: StewardEvent): void {
    for (const effect of steward.step(event, clock.monotonicMs())) performAsSteward(effect)
    metrics.set('starling_flights', steward.size, { role: 'steward' })
  }

  function performAsSteward(effect: StewardEffect): void {
    if (effect.type === 'send') {
      if (effect.message.type === 'verdict')
        metrics.count('starling_flight_verdicts_total', { verdict: effect.message.verdict })
      send(effect.to, effect.message)
    } else {
      const node = memberOf(effect.peerId)?.record.name
      log.error(
        { node, peerId: effect.peerId, digest: effect.key.digest },
        'a node got wrong bytes from upstream; it leads no flight for a while',
      )
    }
  }

  function step(event: ClaimantEvent): void {
    for (const effect of claimant.step(event, clock.monotonicMs())) perform(effect)
    arm()
  }

  function perform(effect: ClaimantEffect): void {
    if (effect.type === 'send') send(effect.to, effect.message)
    else if (effect.type === 'look') void look(effect.key)
    else if (effect.type === 'verdict') settle(effect)
    else {
      downloads.forget(effect.key)
      countRoles()
      metrics.count('starling_flights_ended_total', { role: effect.role, why: effect.why })
      const level = effect.why === 'wrong' || effect.why === 'stalled' ? 'warn' : 'debug'
      log[level]({ ...effect.key, role: effect.role, why: effect.why }, 'a part in a flight ended')
    }
  }

  function settle(effect: Extract<ClaimantEffect, { type: 'verdict' }>): void {
    const { request, verdict, parent } = effect
    const done = waiting.get(request)
    waiting.delete(request)
    const follows = verdict === 'follow' && parent !== undefined
    metrics.count('starling_flight_claims_total', { verdict })
    done?.(follows ? { role: 'follow', parent } : { role: verdict === 'lead' ? 'lead' : 'upstream' })
    countRoles()
  }

  function countRoles(): void {
    const roles = [...claimant.roles.values()]
    for (const role of ['lead', 'follow'] as const)
      metrics.set('starling_flights', roles.filter((own) => own.role === role).length, { role })
  }

  async function look(key: FlightKey): Promise<void> {
    const progress = await downloads.look(key)
    if (!claimant.hasRole(key)) downloads.forget(key)
    else if (progress?.state === 'done' && options.hasLocal(key.registry, key.digest))
      step({ type: 'held', key })
    else step({ type: 'seen', key, progress })
  }

  async function glance(key: FlightKey): Promise<Progress | undefined> {
    const looking = downloads.glance(key)
    const { promise: tooLate, resolve } = Promise.withResolvers<'too late'>()
    const timer = setTimeout(() => resolve('too late'), maxGlanceMs)
    const looked = await Promise.race([looking, tooLate])
    clearTimeout(timer)
    if (looked !== 'too late') return looked?.state === 'wrong' ? undefined : looked
    void looking.then(() => {
      if (!claimant.hasRole(key)) downloads.forget(key)
    })
    return undefined
  }

  /** One timer, for whatever is due next. */
  function arm(): void {
    const atMs = claimant.wakeAtMs
    if (!running || atMs === undefined || (wake !== undefined && wake.atMs <= atMs)) return
    clearTimeout(wake?.timer)
    const timer = setTimeout(
      () => {
        wake = undefined
        step({ type: 'wake' })
      },
      Math.max(1, atMs - clock.monotonicMs()),
    )
    wake = { atMs, timer }
  }

  return {
    async start() {
      running = true
      ticker = setInterval(() => stepSteward({ type: 'tick' }), tickMs).unref()
    },
    async stop() {
      running = false
      clearInterval(ticker)
      clearTimeout(wake?.timer)
      for (const done of waiting.values()) done({ role: 'upstream' })
      waiting.clear()
      await downloads.close()
    },
    async claim(key, { lost, holders }) {
      if (!running || !isEnabled(key.registry)) return holders.length > 0 ? undefined : { role: 'upstream' }
      const seen = await glance(key)
      // Nobody would answer any more.
      if (!running) return holders.length > 0 ? undefined : { role: 'upstream' }
      if (holders.length > 0 && (seen?.sizeBytes ?? 0) < arrangedFromBytes) {
        if (!claimant.hasRole(key)) downloads.forget(key)
        return undefined
      }
      const choices = stewards.of(key, memberOf)
      const request = nextRequest++
      const { promise, resolve } = Promise.withResolvers<ClaimVerdict>()
      const timer = setTimeout(() => {
        waiting.delete(request)
        resolve({ role: 'upstream' })
      }, maxClaimMs)
      waiting.set(request, (verdict) => {
        clearTimeout(timer)
        resolve(verdict)
      })
      const startedMs = clock.monotonicMs()
      const slots = Math.min(maxSlots, options.uploadsAtOnce())
      step({ type: 'want', request, ...key, seen, slots, lost, holders, stewards: choices })
      const verdict = await promise
      log.debug(
        {
          ...key,
          verdict: verdict.role,
          parent: verdict.role === 'follow' ? nameOf(verdict.parent) : undefined,
          stewards: choices.map(({ peerId }) => nameOf(peerId)),
          durationMs: Math.round(clock.monotonicMs() - startedMs),
        },
        'a claim was answered',
      )
      if (!claimant.hasRole(key)) downloads.forget(key)
      return verdict
    },
    serves(key) {
      const serves = isEnabled(key.registry) && claimant.serves(key)
      if (serves) step({ type: 'followed' })
      return serves
    },
    async note({ registry, digest, parent, what, bytes }) {
      const key = { registry, digest }
      if (what === 'running') return claimant.watch(key, parent, bytes, clock.monotonicMs())
      metrics.count('starling_flight_bytes_total', {}, bytes)
      if (what === 'wrong') {
        const node = memberOf(parent)?.record.name
        log.warn({ ...key, parent: node }, 'what came in a flight are not the bytes of the digest')
        // How far it has come tells it from a later one, whose bytes may be right.
        await look(key)
        step({ type: 'wrong', key })
      }
      return 'alive'
    },
    memberChanged({ member }) {
      stewards.changed()
      if (member.state === 'dead' || member.state === 'left')
        stepSteward({ type: 'member-gone', peerId: member.record.peerId })
    },
    views: () => flightViews(self, claimant.roles.values(), steward.summaries(), memberOf),
  }
}
