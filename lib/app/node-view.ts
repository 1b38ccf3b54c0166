import type { CatalogService, MembershipService, PeerConnector } from '../core/cluster.ts'
import { type Digest, isDigest, parseDigest } from '../core/digest.ts'
import type { ImageView, PeerView, WhereView } from '../core/ops-view.ts'
import { formatEndpoint, isReachable, type Member } from '../core/peer.ts'
import type { PeerId } from '../core/peer-id.ts'
import { formatReference, parseReference, type Reference, tryParseReference } from '../core/reference.ts'
import type { FlightsService } from './flights/service.ts'
import { flightsByNode } from './flights/views.ts'
import type { QuarantineService } from './quarantine/service.ts'
import { quarantineView } from './quarantine/view.ts'

/** The running parts that the views read. */
export interface ViewSources {
  readonly membership: MembershipService
  readonly catalog: CatalogService
  readonly connector: PeerConnector
  /** Peers of which nothing is taken. */
  readonly quarantine?: Pick<QuarantineService, 'current' | 'has'>
  readonly flights?: Pick<FlightsService, 'views'>
}

/** Holders shown for one digest; the count in the verdict is exact. */
const maxShownHolders = 1000

export function peerViews(sources: ViewSources): PeerView[] {
  const kept = new Map((sources.quarantine?.current() ?? []).map((one) => [one.peerId, quarantineView(one)]))
  const flights = flightsByNode(sources.membership.self().record.name, sources.flights?.views() ?? [])
  const connected = new Set(sources.connector.connections().map((connection) => connection.peerId))
  return sources.membership
    .members()
    .map((member) => {
      const quarantine = kept.get(member.record.peerId)
      const flying = flights.get(member.record.name)
      return {
        ...peerView(member, sources, connected),
        ...(quarantine === undefined ? {} : { quarantine }),
        ...(flying === undefined ? {} : { flights: flying }),
      }
    })
    .sort((a, b) => compare(a.name, b.name) || compare(a.peerId, b.peerId))
}

function peerView(member: Member, sources: ViewSources, connected: ReadonlySet<PeerId>): PeerView {
  const { record } = member
  return {
    name: record.name,
    peerId: record.peerId,
    self: member.self,
    state: member.state,
    incarnation: member.incarnation,
    since: new Date(member.sinceMs).toISOString(),
    addresses: record.p2p.map(formatEndpoint),
    registryPort: record.registryPort,
    zone: record.zone,
    role: record.role,
    version: record.version,
    registries: sources.membership.registriesOf(record.peerId) ?? [],
    registriesCount: record.registriesCount,
    digests: sources.catalog.digestCountOf(record.peerId),
    rttMs: member.rttMs === undefined ? null : Math.round(member.rttMs * 100) / 100,
    connected: member.self || connected.has(record.peerId),
  }
}

export function imageViews(sources: ViewSources): ImageView[] {
  const { membership, catalog } = sources
  const self = membership.self().record.peerId
  return catalog.allTags().map((entry) => ({
    reference: `${entry.registry}/${entry.repository}:${entry.tag}`,
    registry: entry.registry,
    repository: entry.repository,
    tag: entry.tag,
    digest: entry.digest,
    local: entry.holders.includes(self),
    holders: namesOf(entry.holders, membership),
    whole: wholeNames(entry.registry, entry.digest, sources),
  }))
}

function namesOf(peers: readonly PeerId[], membership: MembershipService): string[] {
  return peers.map((peerId) => membership.get(peerId)?.record.name ?? peerId).sort(compare)
}

function wholeNames(registry: string, target: Digest, { catalog, membership }: ViewSources): string[] | null {
  const peers = catalog.wholeHolders(registry, target)
  return peers === undefined ? null : namesOf(peers, membership)
}

/** Has a live node, this one included, what a full name points to? */
export function isOffered(name: string, catalog: CatalogService): boolean {
  const reference = tryParseReference(name)
  if (reference === undefined) return false
  const { registry, repository, tag = 'latest' } = reference
  let { digest } = reference
  if (digest === undefined) {
    const found = catalog.findTag(registry, repository, tag)
    if (found.state !== 'agreed') return false
    digest = found.digest
  }
  return catalog.hasLocal(registry, digest) || catalog.findHolders(registry, digest, 1).holders > 0
}

/** Who holds a digest or an image, and what a pull through this node would do now. */
export function whereView(query: string, sources: ViewSources | undefined): WhereView {
  if (sources === undefined) {
    const digest = isDigest(query) ? query : (parseReference(query).digest ?? null)
    return unresolved(query, 'this node shares nothing: containerd asks the registry directly', [], digest)
  }
  if (isDigest(query) || /^[a-z0-9]+:[0-9a-f]{32,}$/i.test(query)) {
    const digest = parseDigest(query)
    const holders = sources.catalog.registries().flatMap((registry) => holdersOf(registry, digest, sources))
    return { query, digest, verdict: verdictOf(holders, digest, sources), holders, whole: null, disputed: [] }
  }
  return whereReference(query, parseReference(query), sources)
}

function whereReference(query: string, reference: Reference, sources: ViewSources): WhereView {
  const { registry, repository } = reference
  if (!sources.catalog.registries().includes(registry)) {
    const verdict = `${registry} is not mirrored on this node: containerd asks it directly`
    return { query, digest: reference.digest ?? null, verdict, holders: [], whole: null, disputed: [] }
  }
  if (reference.digest !== undefined) return whereDigest(query, registry, reference.digest, sources)
  const tag = reference.tag ?? 'latest'
  const found = sources.catalog.findTag(registry, repository, tag)
  if (found.state === 'agreed') return whereDigest(query, registry, found.digest, sources)
  const name = formatReference({ ...reference, tag })
  return found.state === 'unknown'
    ? unresolved(query, `no live node announces ${name}: containerd goes upstream`, [])
    : unresolved(query, `live nodes disagree on ${name}: containerd goes upstream`, found.sides)
}

function unresolved(
  query: string,
  verdict: string,
  disputed: WhereView['disputed'],
  digest: Digest | null = null,
): WhereView {
  return { query, digest, verdict, holders: [], whole: null, disputed }
}

function whereDigest(query: string, registry: string, digest: Digest, sources: ViewSources): WhereView {
  const holders = holdersOf(registry, digest, sources)
  const whole = wholeNames(registry, digest, sources)
  return { query, digest, verdict: verdictOf(holders, digest, sources), holders, whole, disputed: [] }
}

function holdersOf(registry: string, digest: Digest, sources: ViewSources): WhereView['holders'][number][] {
  const { membership, catalog } = sources
  const self = membership.self()
  const members = catalog
    .findHolders(registry, digest, maxShownHolders)
    .peers.flatMap((peerId) => membership.get(peerId) ?? [])
  const all = catalog.hasLocal(registry, digest) ? [self, ...members] : members
  return all
    .map(({ record, state, self: isSelf }) => ({
      registry,
      name: record.name,
      peerId: record.peerId,
      state,
      self: isSelf,
      zone: record.zone,
      address:
        record.p2p[0] === undefined
          ? ''
          : formatEndpoint({ host: record.p2p[0].host, port: record.registryPort }),
    }))
    .sort((a, b) => Number(b.self) - Number(a.self) || compare(a.name, b.name))
}

function verdictOf(
  holders: WhereView['holders'],
  digest: string,
  { quarantine }: Pick<ViewSources, 'quarantine'>,
): string {
  const live = holders.filter((holder) => !holder.self && isReachable(holder.state as Member['state']))
  const others = live.filter(({ peerId }) => quarantine?.has(peerId as PeerId) !== true)
  const names = [...new Set(others.map((holder) => holder.name))]
  const shown =
    names.length > 3 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ')
  if (holders.some((holder) => holder.self)) {
    return names.length === 0 ? 'held here and nowhere else' : `held here, and by ${shown}`
  }
  if (names.length === 0 && live.length > 0) {
    return `only nodes in quarantine hold ${digest}: containerd goes upstream`
  }
  return names.length === 0
    ? `no live node holds ${digest}: containerd goes upstream`
    : `a pull here comes from ${names.length === 1 ? shown : `one of ${shown}`}`
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
