import type { KeyPair } from '../core/credentials.ts'
import type { PeerId } from '../core/peer-id.ts'
import type { TokenUsage } from './join-token.ts'
import type { SecretHash } from './secret-hash.ts'
import { jsonHash } from './stable-json.ts'

/**
 * When a server wrote an entry: a Lamport clock (Lamport 1978) with the server's name to break ties, so that all servers
 * order two writes alike, whatever their clocks say.
 */
export interface Stamp {
  readonly clock: number
  readonly by: string
}

/** A join token as it is kept. */
export interface TokenEntry {
  readonly usage: TokenUsage
  /** Undefined once it was deleted, which is final. */
  readonly secret: SecretHash | undefined
  readonly description: string
  /** Milliseconds since 1970; `expiresMs` undefined: never. */
  readonly createdMs: number
  readonly expiresMs: number | undefined
}

/** A name that belongs to the machine that joined with it first. */
export interface NodeEntry {
  readonly password: SecretHash
  readonly peerId: PeerId
  readonly role: 'agent' | 'server'
  /** Where others reach it, `address:port`. */
  readonly p2p: readonly string[]
  /** Of `p2p`; the binding itself keeps `bound`. */
  readonly stamp: Stamp
  readonly bound: Stamp
  /** Grows when the name is set free; the greater one counts. */
  readonly generation: number
  /** The name is free again. */
  readonly free: boolean
}

export interface ServerEntry {
  /** `https://address:port` */
  readonly urls: readonly string[]
  readonly stamp: Stamp
}

/** What a server's configuration file says about all nodes. The one that changed last counts, on all of them. */
export interface SettingsEntry {
  readonly embeddedRegistry: boolean
  readonly stamp: Stamp
}

/** A node that must not be let in any more, whatever it shows. */
export interface RevocationEntry {
  readonly name: string
  readonly peerId: PeerId
  readonly revokedMs: number
  readonly reason: string
  /** Of the server CA that signs when `stamp` is written (revocation-list.ts). */
  readonly signature: string
  readonly stamp: Stamp
}

/** What signs and what is secret to all members. It changes as a whole. */
export interface AuthorityEntry {
  /** The CAs that sign now. */
  readonly serverCa: KeyPair
  readonly clientCa: KeyPair
  /** What nodes accept: during a rotation more than one root each, and cross-signed ones. */
  readonly serverCaPem: string
  readonly clientCaPem: string
  /** Roots of the past that tokens may pin, and what leads from them to the present ones; PEM. */
  readonly retiredServerCaPem?: string
  /** Pre-shared keys as hex, the one to send with first. */
  readonly keyring: readonly string[]
  /** A rotation under way (see rotation.ts); undefined: none. */
  readonly rotation: unknown
  readonly stamp: Stamp
}

/** All that the servers of a cluster know, the same on each of them; it is written to disk and merged as it is. */
export interface ClusterState {
  readonly format: 1
  readonly clock: number
  readonly authority: AuthorityEntry
  readonly tokens: Readonly<Record<string, TokenEntry>>
  readonly nodes: Readonly<Record<string, NodeEntry>>
  readonly servers: Readonly<Record<string, ServerEntry>>
  readonly settings: Readonly<Record<string, SettingsEntry>>
  /** By PeerId. */
  readonly revocations: Readonly<Record<string, RevocationEntry>>
}

/** A state with nothing but its authority. */
export function emptyState(authority: Omit<AuthorityEntry, 'stamp' | 'rotation'>, by: string): ClusterState {
  return {
    format: 1,
    clock: 1,
    authority: { ...authority, rotation: undefined, stamp: { clock: 1, by } },
    tokens: {},
    nodes: {},
    servers: {},
    settings: {},
    revocations: {},
  }
}

/** A change of the state as server `by`: the state with its clock moved on, and the stamp of what is written. */
export function nextStamp(state: ClusterState, by: string): { state: ClusterState; stamp: Stamp } {
  const clock = state.clock + 1
  return { state: { ...state, clock }, stamp: { clock, by } }
}

/** Does `a` come after `b`? A total order. */
export function isLater(a: Stamp, b: Stamp): boolean {
  return a.clock === b.clock ? a.by > b.by : a.clock > b.clock
}

/** Mirroring for the whole cluster: as the configuration says that changed last; off where none says anything. */
export function embeddedRegistryOf(state: ClusterState): boolean {
  let last: SettingsEntry | undefined
  for (const entry of Object.values(state.settings)) {
    if (last === undefined || isLater(entry.stamp, last.stamp)) last = entry
  }
  return last?.embeddedRegistry ?? false
}

/** Is this node, by its name or its PeerId, refused for good? A name that was bound anew since is not. */
export function isRevoked(state: ClusterState, peerId: string): boolean {
  return Object.hasOwn(state.revocations, peerId)
}

/**
 * Is this server refused for good? No node is sent to it, and no other server believes what it says. Once its name was set
 * free, another machine can have it.
 */
export function isRevokedServer(state: ClusterState, name: string): boolean {
  const node = Object.hasOwn(state.nodes, name) ? state.nodes[name] : undefined
  return node?.free === false && isRevoked(state, node.peerId)
}

/** Two states with the same hash are the same, whatever their clocks. */
export function stateHash(state: ClusterState): string {
  return jsonHash({ ...state, clock: 0 })
}
