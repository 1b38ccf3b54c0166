import {
  type ClusterState,
  isLater,
  type NodeEntry,
  type RevocationEntry,
  type ServerEntry,
  type SettingsEntry,
  type TokenEntry,
} from './cluster-state.ts'
import { stableJson } from './stable-json.ts'

/**
 * Merges what two servers know. Commutative, associative and idempotent, so that servers that have heard the same
 * changes have the same state, in whatever order they came:
 *
 * - authority, servers, settings: of two versions the later stamp counts;
 * - tokens: an entry never changes but by its deletion, which wins;
 * - nodes: the greater generation wins, then a name set free, then the earlier binding (who came first keeps the
 *   name); where a node is reached comes from the later report of the winner;
 * - revocations: all of them; of two for one node the later stamp counts: it was signed anew.
 */
export function mergeStates(a: ClusterState, b: ClusterState): ClusterState {
  return {
    format: 1,
    clock: Math.max(a.clock, b.clock),
    authority: later(a.authority, b.authority),
    tokens: mergeRecords(a.tokens, b.tokens, mergeTokens),
    nodes: mergeRecords(a.nodes, b.nodes, mergeNodes),
    servers: mergeRecords<ServerEntry>(a.servers, b.servers, later),
    settings: mergeRecords<SettingsEntry>(a.settings, b.settings, later),
    revocations: mergeRecords(a.revocations, b.revocations, mergeRevocations),
  }
}

function later<T extends { readonly stamp: Parameters<typeof isLater>[0] }>(a: T, b: T): T {
  if (isLater(a.stamp, b.stamp)) return a
  if (isLater(b.stamp, a.stamp)) return b
  return first(a, b)
}

/** Any rule will do for what can't be (two values under one stamp), as long as it is the same everywhere. */
function first<T>(a: T, b: T): T {
  return stableJson(a) <= stableJson(b) ? a : b
}

function mergeTokens(a: TokenEntry, b: TokenEntry): TokenEntry {
  if (a.secret === undefined) return b.secret === undefined ? first(a, b) : a
  return b.secret === undefined ? b : first(a, b)
}

function mergeNodes(a: NodeEntry, b: NodeEntry): NodeEntry {
  if (a.generation !== b.generation) return a.generation > b.generation ? a : b
  if (a.free !== b.free) return a.free ? a : b
  const sameBinding = a.bound.clock === b.bound.clock && a.bound.by === b.bound.by
  if (!sameBinding) return isLater(a.bound, b.bound) ? b : a
  return later(a, b)
}

function mergeRevocations(a: RevocationEntry, b: RevocationEntry): RevocationEntry {
  return later(a, b)
}

function mergeRecords<T>(
  a: Readonly<Record<string, T>>,
  b: Readonly<Record<string, T>>,
  merge: (a: T, b: T) => T,
): Readonly<Record<string, T>> {
  const merged = new Map(Object.entries(a))
  for (const [key, theirs] of Object.entries(b)) {
    const ours = merged.get(key)
    merged.set(key, ours === undefined ? theirs : merge(ours, theirs))
  }
  return Object.fromEntries(merged)
}
