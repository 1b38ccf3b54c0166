import { randomUUID } from 'node:crypto'
import type { Clock, Metrics, Rng } from '../../core/ports.ts'
import { createValue } from '../../core/value.ts'
import type {
  Acknowledgement,
  JoinAnswer,
  StateAnswer,
  SupervisorApi,
  SupervisorCaller,
  WatchAnswer,
  WatchQuery,
} from '../../supervisor/api.ts'
import { nodeOf } from '../../trust/cluster-changes.ts'
import { isRevoked } from '../../trust/cluster-state.ts'
import { JoinRefusedError } from '../../trust/join-refusal.ts'
import { tokenBundle } from '../../trust/rotation.ts'
import type { Admissions, IssuedCertificates } from './admissions.ts'
import type { ClusterStore } from './cluster-store.ts'
import { hashOf, toldBy } from './told-view.ts'
import { waitForChange } from './waiting.ts'

/** A question for changes is answered after this time though there is none. */
const watchMs = 25_000
const maxPeers = 16

export interface SupervisorServiceOptions {
  readonly store: ClusterStore
  readonly admissions: Admissions
  readonly clock: Clock
  readonly rng: Rng
  readonly metrics: Metrics
  /** Prometheus text for callers with a certificate; undefined where it is switched off. */
  readonly metricsText: () => Promise<string> | undefined
}

export interface SupervisorService extends SupervisorApi {
  /** What each node works with, by its name, as this server and the others have heard. */
  acknowledged(): Readonly<Record<string, Acknowledgement>>
  /** Takes up what another server has heard. */
  addAcknowledged(heard: Readonly<Record<string, Acknowledgement>>): void
}

/** What the endpoint answers: the state of the cluster as each caller may see it. */
export function createSupervisorService(options: SupervisorServiceOptions): SupervisorService {
  const { store, admissions, clock, rng, metrics } = options
  const acknowledged = new Map<string, Acknowledgement>()
  /** Counts what is acknowledged anew, for the other servers. */
  const heard = createValue(0)
  const boot = randomUUID().slice(0, 8)
  let watchers = 0

  const tagNow = () => `${boot}.${heard.current()}.${hashOf(store.current()).slice(0, 32)}`
  const onStore = (wake: () => void) => store.subscribe(wake)
  const onAll = (wake: () => void) => {
    const ends = [store.subscribe(wake), heard.subscribe(wake)]
    return () => {
      for (const end of ends) end()
    }
  }

  function peersFor(name: string): readonly string[] {
    const { nodes } = store.current()
    const others = Object.entries(nodes).filter(
      ([other, { free, p2p, peerId }]) =>
        other !== name && !free && p2p.length > 0 && !isRevoked(store.current(), peerId),
    )
    const chosen: string[] = []
    while (others.length > 0 && chosen.length < maxPeers) {
      const [entry] = others.splice(Math.floor(rng.next() * others.length), 1)
      chosen.push(...(entry?.[1].p2p.slice(0, 2) ?? []))
    }
    return chosen
  }

  function answer(name: string, issued: IssuedCertificates): JoinAnswer {
    return { ...issued, ...toldBy(store.current()), peers: peersFor(name) }
  }

  function acknowledge(name: string, revision: string): void {
    const before = acknowledged.get(name)?.revision
    acknowledged.set(name, { revision, heardMs: clock.wallMs() })
    if (before !== revision) heard.set(heard.current() + 1)
  }

  async function watch(
    query: WatchQuery,
    caller: SupervisorCaller,
    signal: AbortSignal,
  ): Promise<WatchAnswer> {
    admissions.member(caller.name)
    if (query.applied !== undefined) acknowledge(caller.name, query.applied)
    metrics.set('starling_supervisor_watchers', ++watchers)
    try {
      const deadline = clock.monotonicMs() + watchMs
      for (;;) {
        const { view, revision } = toldBy(store.current())
        const leftMs = deadline - clock.monotonicMs()
        if (revision !== query.seen) return { revision, view, peers: peersFor(caller.name) }
        if (leftMs <= 0 || signal.aborted) return { revision, peers: peersFor(caller.name) }
        await waitForChange(onStore, leftMs, signal)
        admissions.refuseRevoked(caller)
        admissions.member(caller.name)
      }
    } finally {
      metrics.set('starling_supervisor_watchers', --watchers)
    }
  }

  async function state(
    tag: string | undefined,
    caller: SupervisorCaller,
    signal: AbortSignal,
  ): Promise<StateAnswer> {
    if (!Object.hasOwn(store.current().servers, caller.name)) {
      throw new JoinRefusedError('unknown-node', `no server of the name ${caller.name} has joined`)
    }
    // One that has just joined has no node of its own yet.
    if (nodeOf(store.current(), caller.name) !== undefined) admissions.member(caller.name)
    if (tag === tagNow()) await waitForChange(onAll, watchMs, signal)
    admissions.refuseRevoked(caller)
    return {
      tag: tagNow(),
      ...(tag?.split('.')[2] === tagNow().split('.')[2] ? {} : { state: store.current() }),
      acknowledged: Object.fromEntries(acknowledged),
    }
  }

  return {
    caBundle: () => tokenBundle(store.current().authority),
    ready: () => ({ ready: true, reasons: [] }),
    join: async (request, address) => answer(request.name, await admissions.join(request, address)),
    renew: async (request, caller) => answer(caller.name, await admissions.renew(request, caller)),
    watch,
    joinServer: (request, address) => admissions.joinServer(request, address),
    state,
    admit: (caller) => admissions.refuseRevoked(caller),
    metrics: async () => options.metricsText(),
    acknowledged: () => Object.fromEntries(acknowledged),
    addAcknowledged(others) {
      let changed = false
      for (const [name, theirs] of Object.entries(others)) {
        const ours = acknowledged.get(name)
        if (ours !== undefined && ours.heardMs >= theirs.heardMs) continue
        acknowledged.set(name, theirs)
        changed ||= ours?.revision !== theirs.revision
      }
      if (changed) heard.set(heard.current() + 1)
    },
  }
}
