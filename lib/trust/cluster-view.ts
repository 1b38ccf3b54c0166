import { type ClusterState, embeddedRegistryOf } from './cluster-state.ts'
import { jsonHash } from './stable-json.ts'

/** What every node is told, over an authenticated connection only: the keyring is in it. */
export interface ClusterView {
  readonly embeddedRegistry: boolean
  readonly serverCaPem: string
  readonly clientCaPem: string
  /** Pre-shared keys as hex, the one to send with first. */
  readonly keyring: readonly string[]
  readonly servers: readonly { readonly name: string; readonly urls: readonly string[] }[]
  readonly revocations: readonly {
    readonly name: string
    readonly peerId: string
    readonly revokedMs: number
  }[]
}

const byText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)

export function viewOf(state: ClusterState): ClusterView {
  const { serverCaPem, clientCaPem, keyring } = state.authority
  return {
    embeddedRegistry: embeddedRegistryOf(state),
    serverCaPem,
    clientCaPem,
    keyring,
    servers: Object.entries(state.servers)
      .map(([name, { urls }]) => ({ name, urls }))
      .sort((a, b) => byText(a.name, b.name)),
    revocations: Object.values(state.revocations)
      .map(({ name, peerId, revokedMs }) => ({ name, peerId, revokedMs }))
      .sort((a, b) => byText(a.peerId, b.peerId)),
  }
}

/** Names a view: the same on every server that tells the same, so that nodes can change servers. */
export function revisionOf(view: ClusterView): string {
  return jsonHash(view).slice(0, 32)
}
