import { hash } from 'node:crypto'
import type { CatalogService, MembershipService, TagLookup } from '../../lib/core/cluster.ts'
import type { Digest } from '../../lib/core/digest.ts'
import type { Member, MemberState } from '../../lib/core/peer.ts'
import { type PeerId, peerIdFromPublicKey } from '../../lib/core/peer-id.ts'
import type { Logger, Metrics } from '../../lib/core/ports.ts'

/** Members and a catalog whose answers a spec states, for the parts that only read them. */

export function fakeDigest(seed: string): Digest {
  return `sha256:${hash('sha256', seed, 'hex')}` as Digest
}

export function fakeMember(
  name: string,
  options: { state?: MemberState; self?: boolean; zone?: string } = {},
): Member {
  const publicKey = Buffer.from(hash('sha256', name, 'hex'), 'hex')
  return {
    record: {
      peerId: peerIdFromPublicKey(publicKey),
      sequence: 1,
      name,
      p2p: [{ host: '127.0.0.1', port: 5001 }],
      registryPort: 6443,
      zone: options.zone ?? '',
      role: 'agent',
      version: '0.0.0',
      registriesCount: 1,
      registriesHash: new Uint8Array(32),
      certificateKeyHash: new Uint8Array(32).fill(7),
    },
    state: options.state ?? 'alive',
    incarnation: 0,
    sinceMs: 0,
    rttMs: undefined,
    self: options.self ?? false,
  }
}

export function fakeMembership(members: readonly Member[]): MembershipService & { hints: string[] } {
  const byId = new Map(members.map((member) => [member.record.peerId, member]))
  const hints: string[] = []
  return {
    hints,
    start: async () => undefined,
    stop: async () => undefined,
    self: () => members.find((member) => member.self) ?? fakeMember('self', { self: true }),
    members: () => members,
    get: (peerId) => byId.get(peerId),
    registriesOf: () => undefined,
    onChange: () => () => undefined,
    hint: (peerId, hint) => void hints.push(`${byId.get(peerId)?.record.name} ${hint}`),
    setRegistries: () => undefined,
    leave: async () => undefined,
  }
}

export interface FakeCatalogState {
  readonly registries: readonly string[]
  /** `registry/repository:tag` → what is known of it. */
  readonly tags?: Readonly<Record<string, TagLookup>>
  /** `registry digest` → names of the holders; `self` stands for this node. */
  readonly holders?: Readonly<Record<string, readonly Member[]>>
}

export function fakeCatalog(state: FakeCatalogState): CatalogService {
  const holdersOf = (registry: string, digest: Digest) => state.holders?.[`${registry} ${digest}`] ?? []
  const others = (registry: string, digest: Digest): PeerId[] =>
    holdersOf(registry, digest)
      .filter((member) => !member.self)
      .map((member) => member.record.peerId)
  const repositoriesOf = (registry: string) => [
    ...new Set(
      Object.keys(state.tags ?? {})
        .filter((name) => name.startsWith(`${registry}/`))
        .map((name) => name.slice(registry.length + 1, name.lastIndexOf(':'))),
    ),
  ]
  return {
    start: async () => undefined,
    stop: async () => undefined,
    applyStoreChange: async () => undefined,
    setMirrors: () => undefined,
    setOriginState: () => undefined,
    registries: () => state.registries,
    onRegistriesChanged: () => () => undefined,
    onChanged: () => () => undefined,
    findHolders: (registry, digest, limit) => ({
      holders: others(registry, digest).length,
      peers: others(registry, digest).slice(0, limit),
    }),
    findTag: (registry, repository, tag) =>
      state.tags?.[`${registry}/${repository}:${tag}`] ?? { state: 'unknown' },
    expect: () => {},
    hasLocal: (registry, digest) => holdersOf(registry, digest).some((member) => member.self),
    registryOf: (repository) => {
      const known = state.registries.filter((registry) => repositoriesOf(registry).includes(repository))
      return known.length > 1 ? 'ambiguous' : known[0]
    },
    repositories: repositoriesOf,
    tags: (registry, repository) =>
      Object.keys(state.tags ?? {})
        .filter((name) => name.startsWith(`${registry}/${repository}:`))
        .map((name) => name.slice(name.lastIndexOf(':') + 1)),
    allTags: () => [],
    summaries: () =>
      state.registries.map((registry) => ({
        registry,
        origins: 3,
        localDigests: 0,
        localTags: 0,
        localImages: 0,
        digests: 0,
        tags: 0,
        disputedTags: 0,
      })),
    digestCountOf: () => 0,
    wholeHolders: () => undefined,
    soleDigests: () => [],
  }
}

/** A logger that keeps its lines. */
export function recordingLog(): Logger & { lines: { level: string; message: string; fields: object }[] } {
  const lines: { level: string; message: string; fields: object }[] = []
  const at = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, message, fields })
  const log = {
    lines,
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => log,
  }
  return log
}

/** Metrics that keep their counts, by name and labels. */
export function recordingMetrics(): Metrics & { counts: Map<string, number> } {
  const counts = new Map<string, number>()
  const key = (name: string, labels: Readonly<Record<string, string>> = {}) =>
    [name, ...Object.entries(labels).map(([label, value]) => `${label}=${value}`)].join(' ')
  return {
    counts,
    count: (name, labels, amount = 1) =>
      void counts.set(key(name, labels), (counts.get(key(name, labels)) ?? 0) + amount),
    observe: () => undefined,
    set: (name, value, labels) => void counts.set(key(name, labels), value),
  }
}
