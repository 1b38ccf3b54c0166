import type { PeerId } from '../core/peer-id.ts'
import {
  type ClusterState,
  embeddedRegistryOf,
  type NodeEntry,
  nextStamp,
  type TokenEntry,
} from './cluster-state.ts'
import type { SecretHash } from './secret-hash.ts'

/** Tokens that are kept at most, those that were deleted included. */
export const maxTokens = 1_000
/** So long after its end a token is still listed. */
const tokenGraceMs = 7 * 86_400_000

/** Adds a token, and drops those that ended long ago. */
export function withToken(state: ClusterState, id: string, token: TokenEntry, nowMs: number): ClusterState {
  const kept = Object.entries(state.tokens).filter(
    ([, { expiresMs }]) => expiresMs === undefined || nowMs < expiresMs + tokenGraceMs,
  )
  return { ...state, tokens: { ...Object.fromEntries(kept), [id]: token } }
}

/** Deletes a token for good; undefined where there is none. */
export function withoutToken(state: ClusterState, id: string): ClusterState | undefined {
  const token = Object.hasOwn(state.tokens, id) ? state.tokens[id] : undefined
  if (token?.secret === undefined) return undefined
  return { ...state, tokens: { ...state.tokens, [id]: { ...token, secret: undefined } } }
}

/** Binds a name to a machine, or tells where the machine is reached now. */
export function withNode(
  state: ClusterState,
  name: string,
  facts: {
    readonly password: SecretHash
    readonly peerId: PeerId
    readonly role: NodeEntry['role']
    readonly p2p: readonly string[]
  },
  by: string,
): ClusterState {
  const { state: next, stamp } = nextStamp(state, by)
  const known = nodeOf(state, name)
  const generation = known === undefined ? (state.nodes[name]?.generation ?? 0) + 1 : known.generation
  const entry: NodeEntry = { ...facts, generation, free: false, bound: known?.bound ?? stamp, stamp }
  return { ...next, nodes: { ...next.nodes, [name]: entry } }
}

/** Sets a name free, so that another machine can join with it; undefined where nobody has it. */
export function withoutNode(state: ClusterState, name: string, by: string): ClusterState | undefined {
  const known = nodeOf(state, name)
  if (known === undefined) return undefined
  const { state: next, stamp } = nextStamp(state, by)
  return { ...next, nodes: { ...next.nodes, [name]: { ...known, free: true, p2p: [], stamp } } }
}

/** The machine that a name belongs to. */
export function nodeOf(state: ClusterState, name: string): NodeEntry | undefined {
  const entry = Object.hasOwn(state.nodes, name) ? state.nodes[name] : undefined
  return entry?.free === false ? entry : undefined
}

/** Announces where a server is reached. The same state where nothing changes. */
export function withServer(
  state: ClusterState,
  name: string,
  urls: readonly string[],
  by: string,
): ClusterState {
  if (JSON.stringify(state.servers[name]?.urls) === JSON.stringify(urls)) return state
  const { state: next, stamp } = nextStamp(state, by)
  return { ...next, servers: { ...next.servers, [name]: { urls, stamp } } }
}

/**
 * Takes up what the configuration of server `by` says. Only a change counts: a server that comes (back) with another
 * value than the cluster's doesn't turn it over, unless its file was edited since it last said something.
 */
export function withSettings(state: ClusterState, embeddedRegistry: boolean, by: string): ClusterState {
  const said = state.settings[by]
  if (said?.embeddedRegistry === embeddedRegistry) return state
  const isFirst = Object.keys(state.settings).length === 0
  const { state: next, stamp } = nextStamp(state, by)
  const counts = said !== undefined || isFirst || embeddedRegistry === embeddedRegistryOf(state)
  const entry = { embeddedRegistry, stamp: counts ? stamp : { clock: 0, by } }
  return { ...next, settings: { ...next.settings, [by]: entry } }
}
