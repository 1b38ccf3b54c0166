import { type ClusterState, stateHash } from '../../trust/cluster-state.ts'
import { type ClusterView, revisionOf, viewOf } from '../../trust/cluster-view.ts'

/** What follows from a state, computed once for it: thousands of nodes wait for the same answer. */
export interface Told {
  readonly view: ClusterView
  readonly revision: string
}

const told = new WeakMap<ClusterState, Told>()
const hashes = new WeakMap<ClusterState, string>()

/** What nodes are told under this state, and its revision. */
export function toldBy(state: ClusterState): Told {
  const known = told.get(state)
  if (known !== undefined) return known
  const view = viewOf(state)
  const made = { view, revision: revisionOf(view) }
  told.set(state, made)
  return made
}

/** `stateHash`, computed once. */
export function hashOf(state: ClusterState): string {
  const known = hashes.get(state) ?? stateHash(state)
  hashes.set(state, known)
  return known
}
