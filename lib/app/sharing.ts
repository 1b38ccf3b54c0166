import { join } from 'node:path'
import { excludedReferences } from '../config/tag-policy.ts'
import { normaliseTransfer } from '../config/transfer-section.ts'
import type { OriginState } from '../core/cluster.ts'
import type { StoreChange } from '../core/content-store.ts'
import { describeError } from '../core/errors.ts'
import { isReachable, type MemberState } from '../core/peer.ts'
import type { PeerId } from '../core/peer-id.ts'
import type { Service } from '../core/ports.ts'
import { OfferFilter } from '../core/reference.ts'
import { createHost } from '../network/host.ts'
import { createUdpTransport } from '../network/udp-transport.ts'
import { CandidateOrder } from '../selection/candidate-order.ts'
import { certificateKeyHashOf } from '../trust/certificate-chain.ts'
import { advertisedEndpoints, othersOf, resolveBootstrap } from './addresses.ts'
import { nearPartners } from './catalog/partners.ts'
import { createCatalogService } from './catalog/service.ts'
import { createStore } from './create-store.ts'
import { createNodeFlights } from './flights/create.ts'
import { splitDatagrams } from './flights/split-datagrams.ts'
import { createIntegrityService, mapsPathOf } from './integrity/service.ts'
import { createMembershipService } from './membership/service.ts'
import { createQuarantine } from './quarantine/service.ts'
import { createRegistryControl } from './registry/control.ts'
import { HandOver } from './registry/hand-over.ts'
import { HeardTimes } from './registry/heard-times.ts'
import { createRegistryService } from './registry/registry-service.ts'
import type { Sharing, SharingOptions } from './sharing-parts.ts'
import { AttestationStore } from './trust/attestation-store.ts'
import { createExpulsion } from './trust/expulsion.ts'
import { createRevocationSpread } from './trust/revocation-spread.ts'
import { version } from './version.ts'

/** What the catalog keeps of a member that is dead or left; a flap within it costs no transfer. */
const forgetAfterMs = 600_000
const sweepIntervalMs = 30_000
/** Who has shown its keys since then runs, whatever became of the process that is declared dead. */
const lifeSignMs = 10_000
/** Blobs that turn out to be gone have the store listed anew, at most this often. */
const minAuditGapMs = 2_000

function originStateOf(state: MemberState): OriginState {
  return isReachable(state) ? 'live' : 'masked'
}

/** Builds the parts and joins them; nothing is opened before `start`. */
export async function createSharing(options: SharingOptions): Promise<Sharing> {
  const { config, credentials, settings, peers, clock, rng, log, metrics } = options
  const set = credentials.current()
  const common = { clock, metrics, rng, credentials, listen: config.p2p.listen }
  const own = advertisedEndpoints(config.p2p.listen, config.p2p.advertise)
  const filter = new OfferFilter(excludedReferences(config).map((text) => new RegExp(text)))

  const attestations = new AttestationStore({ ...common, logger: log, dataDir: config.dataDir })
  const host = createHost({ ...common, attestations, logger: log.child({ part: 'network' }) })
  const udp = createUdpTransport({
    ...common,
    attestations,
    enabled: config.p2p.udp,
    logger: log.child({ part: 'datagrams' }),
  })
  const heard = new HeardTimes(clock)
  const datagrams = splitDatagrams(heard.listenTo(udp))
  const membership = await createMembershipService({
    clock,
    rng,
    logger: log,
    metrics,
    datagrams: datagrams.membership,
    rpc: host,
    connector: host,
    attestations,
    privateKey: set.identityPrivateKey,
    own: {
      peerId: set.peerId,
      name: config.node.name,
      p2p: own,
      registryPort: config.registry.listen[0]?.port ?? 0,
      zone: config.node.zone,
      role: options.role,
      version,
      certificateKeyHash: certificateKeyHashOf(set.serving.certPem),
    },
    registries: settings.current().mirrors.names,
    bootstrap: async () => [
      ...(await resolveBootstrap(config.bootstrap, own, log)),
      ...othersOf(peers(), own),
    ],
    snapshotPath: join(config.dataDir, 'members'),
  })
  const store = await createStore(options)
  const catalog = createCatalogService({
    bus: host,
    rpc: host,
    clock,
    rng,
    logger: log,
    metrics,
    peerId: set.peerId,
    privateKey: set.identityPrivateKey,
    isAttested: (peerId) => attestations.isAttested(peerId),
    partners: (registry) => {
      const all = membership
        .members()
        .filter((member) => !member.self && isReachable(member.state))
        .map((member) => member.record.peerId)
        .filter((peerId) => membership.registriesOf(peerId)?.includes(registry) ?? true)
      return nearPartners(all, new Set(host.connections().map(({ peerId }) => peerId)), rng)
    },
    filter,
    dataDir: config.dataDir,
    memoryPath: join(config.dataDir, 'catalog'),
    mirrors: settings.current().mirrors,
  })
  const integrity = createIntegrityService({
    dataDir: config.dataDir,
    source: () => store.source(),
    tell: (change) => catalog.applyStoreChange(change),
    recheckMs: Math.min(30_000, config.auditIntervalMs),
    clock,
    log: log.child({ part: 'integrity' }),
    metrics,
  })
  let transfer = config.transfer ?? normaliseTransfer()
  const flights = createNodeFlights({
    ...{ peerId: set.peerId, membership, catalog, settings, config, store, clock, log, metrics },
    datagrams: datagrams.flights,
    rpc: host,
    uploadsAtOnce: () => transfer.upload.atOnce,
  })
  const candidates = new CandidateOrder({ zone: config.node.zone, clock, rng })
  const quarantine = createQuarantine({
    ...{ dataDir: config.dataDir, rpc: host, connector: host, clock, metrics },
    lengthMs: () => transfer.quarantineMs,
    nameOf: (peerId) => membership.get(peerId)?.record.name ?? peerId,
    doubt: (digest) => integrity.doubt(digest),
    changed(peerId, state) {
      // What its failures have earned it ends with the quarantine.
      if (state === 'out') candidates.forget(peerId)
      registry.lookupsChanged()
    },
    log: log.child({ part: 'quarantine' }),
  })
  const control = createRegistryControl({
    quarantine,
    flights,
    catalog,
    membership,
    mirrors: () => settings.current().mirrors,
    heard,
    tagRules: (registry) => settings.current().tagRules?.(registry) ?? { resolve: true, disputed: 'refuse' },
    filter,
    order: candidates,
    clock,
    log: log.child({ part: 'registry' }),
    metrics,
    requested: options.requested,
    onMissing: () => audit(),
    onDamaged: (digest) => integrity.damaged(digest),
    onUnmapped: (digest) => integrity.hurry(digest),
  })
  const registry =
    options.registry?.service ??
    createRegistryService({
      config,
      credentials,
      source: store.source(),
      control,
      mapsPath: mapsPathOf(config.dataDir),
      log: log.child({ part: 'registry' }),
      metrics,
    })

  const handOver =
    options.registry &&
    new HandOver({ from: options.registry, control, catalog, mirrors: () => settings.current().mirrors })

  attestations.setLiveness((peerId) => {
    const state = membership.get(peerId)?.state
    return state !== undefined && isReachable(state)
  })
  membership.onChange(({ member }) => {
    if (member.self) return
    const { peerId } = member.record
    catalog.setOriginState(peerId, originStateOf(member.state))
    if (member.state === 'dead') closeConnections(peerId)
  })
  const expelRevoked = createExpulsion({ self: set.peerId, membership, catalog, host, log })
  let servingPem = set.serving.certPem
  const unsubscribers = [
    settings.subscribe(({ mirrors }) => {
      catalog.setMirrors(mirrors)
      registry.lookupsChanged()
    }),
    credentials.subscribe((next) => {
      membership.setFacts({ certificateKeyHash: certificateKeyHashOf(next.serving.certPem) })
      if (next.serving.certPem !== servingPem) membership.retell()
      servingPem = next.serving.certPem
      expelRevoked(next)
    }),
  ]
  membership.onChange((change) => {
    flights.memberChanged(change)
    registry.lookupsChanged()
  })
  catalog.onChanged(() => {
    registry.lookupsChanged()
    if (hasInventory) handOver?.look()
  })
  catalog.onRegistriesChanged((registries) => membership.setRegistries(registries))

  let hasInventory = false
  let auditedMs = Number.NEGATIVE_INFINITY
  const timers: NodeJS.Timeout[] = []
  const started: Service[] = []

  /** A connection to a vanished host would count as open until TCP gives up. */
  function closeConnections(peerId: PeerId): void {
    host
      .disconnect(peerId, lifeSignMs)
      .catch((error) => log.debug({ peerId, error: describeError(error) }, 'disconnect'))
  }

  function audit(): void {
    if (clock.monotonicMs() - auditedMs < minAuditGapMs) return
    auditedMs = clock.monotonicMs()
    store.audit().catch((error) => log.warn({ error: describeError(error) }, 'the store could not be listed'))
  }

  async function onStoreChange(change: StoreChange): Promise<void> {
    await catalog.applyStoreChange(integrity.admit(change))
    if (change.type !== 'snapshot') return
    hasInventory = true
    handOver?.look()
    registry.setSource(store.source())
  }

  /** Connections of the dead are closed; holdings of members that have been gone for a while are dropped. */
  function sweep(): void {
    const now = clock.wallMs()
    for (const { record, state, sinceMs } of membership.members()) {
      if (state === 'dead') closeConnections(record.peerId)
      const gone = state === 'dead' || state === 'left'
      if (gone && now - sinceMs >= forgetAfterMs) catalog.setOriginState(record.peerId, 'forgotten')
    }
  }

  const storeService: Service = { start: () => store.start(onStoreChange), stop: () => store.stop() }
  const revocations = createRevocationSpread({
    credentials,
    rpc: host,
    connector: host,
    file: config.trust.revocations,
    changed: options.trustChanged,
    log: log.child({ part: 'revocations' }),
    metrics,
  })
  const services: readonly Service[] = [
    attestations,
    quarantine,
    registry,
    revocations,
    host,
    udp,
    membership,
    catalog,
    integrity,
    flights,
    storeService,
  ]

  const sharing: Sharing = {
    host,
    udp,
    membership,
    catalog,
    store,
    registry,
    async moveRegistry(next) {
      await registry.move(next)
      membership.setFacts({ registryPort: next.registry.listen[0]?.port ?? 0 })
    },
    tune(next) {
      transfer = next.transfer ?? normaliseTransfer()
      registry.tune(next)
    },
    integrity,
    quarantine,
    flights,
    hasInventory: () => hasInventory,
    async start() {
      try {
        for (const service of services) {
          started.push(service)
          await service.start()
        }
        expelRevoked(credentials.current())
      } catch (error) {
        await end(options.registry?.service)
        throw error
      }
      handOver?.start()
      timers.push(
        setInterval(audit, config.auditIntervalMs).unref(),
        setInterval(sweep, sweepIntervalMs).unref(),
      )
    },
    async release() {
      const known = handOver?.known() ?? catalog.summaries()
      await end(registry)
      return { service: registry, known }
    },
    stop: () => end(undefined),
  }

  async function end(except: Service | undefined): Promise<void> {
    for (const unsubscribe of unsubscribers) unsubscribe()
    handOver?.stop()
    for (const timer of timers.splice(0)) clearInterval(timer)
    // Where the registry goes on, so does the node: the others keep asking it.
    if (except === undefined && started.includes(membership)) {
      await membership
        .leave()
        .catch((error) => log.warn({ error: describeError(error) }, 'leave was not told'))
    }
    for (const service of started.splice(0).reverse()) {
      if (service === except) continue
      await service
        .stop()
        .catch((error) => log.warn({ error: describeError(error) }, 'a part did not stop cleanly'))
    }
  }

  return sharing
}
