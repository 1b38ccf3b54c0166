import type { ImageView, PeerView, WhereView } from '../../../lib/core/ops-view.ts'
import { eventually } from '../eventually.ts'
import type { ClusterNode } from './node-process.ts'

/** What a node says of the cluster, without what changes all the time: equal as long as nothing has happened. */
export async function clusterState(node: ClusterNode): Promise<object> {
  const [peers, images, changes] = await Promise.all([
    node.ops<PeerView[]>('peers'),
    node.ops<ImageView[]>('images'),
    node.metric('starling_membership_changes_total'),
  ])
  return {
    changes,
    members: peers
      .map(({ name, peerId, state, incarnation, digests }) => ({
        name,
        peerId,
        state,
        incarnation,
        digests,
      }))
      .sort((a, b) => a.name.localeCompare(b.name)),
    images: images
      .map((image) => ({ ...image, holders: [...image.holders].sort() }))
      .sort((a, b) => a.reference.localeCompare(b.reference)),
  }
}

/** How one node sees another one, or undefined where it does not know it. */
export async function viewOf(viewer: ClusterNode, other: ClusterNode): Promise<PeerView | undefined> {
  return (await viewer.ops<PeerView[]>('peers')).find(({ name }) => name === other.name)
}

/** Does a node hold all of these for alive? */
export async function seesAllAlive(viewer: ClusterNode, all: readonly ClusterNode[]): Promise<boolean> {
  const peers = await viewer.ops<PeerView[]>('peers')
  const alive = new Set(peers.filter(({ state }) => state === 'alive').map(({ name }) => name))
  return all.every(({ name }) => alive.has(name))
}

/**
 * Waits until all see all, one node after the other: asking all of them at once would cost many nodes on few cores more than
 * what is waited for.
 */
export async function waitAllAlive(all: readonly ClusterNode[], timeoutMs: number): Promise<void> {
  const startedMs = performance.now()
  for (const node of all) {
    await eventually(() => seesAllAlive(node, all), {
      timeoutMs: Math.max(1, timeoutMs - (performance.now() - startedMs)),
      intervalMs: 200,
      what: `${node.name} sees all ${all.length} nodes`,
    })
  }
}

/** Waits until each of `viewers` sees each of `others` in this state; returns the milliseconds that it took. */
export async function waitState(
  viewers: readonly ClusterNode[],
  others: readonly ClusterNode[],
  state: string,
  timeoutMs: number,
): Promise<number> {
  const startedMs = performance.now()
  const names = (nodes: readonly ClusterNode[]) => nodes.map(({ name }) => name).join(', ')
  await eventually(
    async () => {
      const views = viewers.flatMap((viewer) => others.map((other) => viewOf(viewer, other)))
      return (await Promise.all(views)).every((view) => view?.state === state)
    },
    { timeoutMs, intervalMs: 25, what: `${names(viewers)} see ${names(others)} ${state}` },
  )
  return performance.now() - startedMs
}

/** The names of the live nodes that hold an image, as a node knows them, sorted. */
export async function holdersOf(viewer: ClusterNode, image: string): Promise<string[]> {
  const { holders } = await viewer.ops<WhereView>(`where/${image}`)
  return holders
    .filter(({ state }) => state === 'alive')
    .map(({ name }) => name)
    .sort()
}

/** Waits until each of `viewers` knows exactly these holders of an image; returns the milliseconds that it took. */
export async function waitHolders(
  viewers: readonly ClusterNode[],
  image: string,
  holders: readonly ClusterNode[],
  timeoutMs: number,
): Promise<number> {
  const startedMs = performance.now()
  const wanted = holders
    .map(({ name }) => name)
    .sort()
    .join()
  await eventually(
    async () => {
      const known = await Promise.all(viewers.map((viewer) => holdersOf(viewer, image)))
      const differ = known.flatMap((names, index) =>
        names.join() === wanted ? [] : [`${viewers[index]?.name} knows [${names.join()}]`],
      )
      if (differ.length > 0) throw new Error(differ.join('; '))
      return true
    },
    {
      timeoutMs,
      intervalMs: 25,
      what: `all of ${viewers.length} nodes know that [${wanted}] holds ${image}`,
    },
  )
  return performance.now() - startedMs
}
