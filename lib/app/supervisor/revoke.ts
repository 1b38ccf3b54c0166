import { nodeOf } from '../../trust/cluster-changes.ts'
import { type ClusterState, nextStamp, type RevocationEntry } from '../../trust/cluster-state.ts'
import { signRevocation } from '../../trust/revocation-list.ts'

/**
 * Refuses a node for good. Its name stays bound to its machine: `starling node forget` sets it free.
 * @returns undefined where no node of this name has joined, or it was revoked before
 */
export function withRevocation(
  state: ClusterState,
  name: string,
  { revokedMs, reason, by }: { readonly revokedMs: number; readonly reason: string; readonly by: string },
): ClusterState | undefined {
  const node = nodeOf(state, name)
  if (node === undefined || Object.hasOwn(state.revocations, node.peerId)) return undefined
  const { state: next, stamp } = nextStamp(state, by)
  const signed = signRevocation({ name, peerId: node.peerId, revokedMs }, state.authority.serverCa)
  const entry: RevocationEntry = { ...signed, reason, stamp }
  return { ...next, revocations: { ...next.revocations, [node.peerId]: entry } }
}

/** Signs all revocations with the CA that signs now, where that has changed: nodes will drop the old one. */
export function resignRevocations(state: ClusterState, by: string, before: ClusterState): ClusterState {
  const entries = Object.entries(state.revocations)
  if (entries.length === 0 || before.authority.serverCa === state.authority.serverCa) return state
  const { state: next, stamp } = nextStamp(state, by)
  const signed = entries.map(([peerId, entry]): [string, RevocationEntry] => {
    const { name, revokedMs, reason } = entry
    return [
      peerId,
      {
        ...signRevocation({ name, peerId: entry.peerId, revokedMs }, state.authority.serverCa),
        reason,
        stamp,
      },
    ]
  })
  return { ...next, revocations: Object.fromEntries(signed) }
}
