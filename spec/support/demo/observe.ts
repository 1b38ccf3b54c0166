import type { PeerView, WhereView } from '../../../lib/core/ops-view.ts'
import type { ClusterNode } from '../cluster/node-process.ts'
import { eventually } from '../eventually.ts'

/** Waits until a node knows `holders` holders of an image; returns `performance.now()` of that moment. */
export async function waitHolders(
  node: ClusterNode,
  name: string,
  holders: readonly string[],
): Promise<number> {
  await eventually(
    async () => {
      const where = await node.ops<WhereView>(`where/${name}`)
      const known = where.holders.filter((holder) => holder.state === 'alive').map((holder) => holder.name)
      return where.digest !== null && holders.every((holder) => known.includes(holder))
    },
    {
      timeoutMs: 20_000,
      intervalMs: 5,
      what: `${node.name} knows that ${holders.join(' and ')} hold ${name}`,
    },
  )
  return performance.now()
}

/** Waits until a node has declared another one dead; returns `performance.now()` of that moment. */
export async function waitDead(node: ClusterNode, other: ClusterNode): Promise<number> {
  await eventually(
    async () => {
      const peers = await node.ops<PeerView[]>('peers')
      return peers.find((peer) => peer.name === other.name)?.state === 'dead'
    },
    { timeoutMs: 30_000, intervalMs: 10, what: `${node.name} declares ${other.name} dead` },
  )
  return performance.now()
}

/** Why a node answered its clients as it did since a moment, from its log: each reason once, with the bytes it stands for. */
export function reasonsSince(node: ClusterNode, sinceWallMs: number): string[] {
  const bytesByReason = new Map<string, number>()
  for (const line of node.logs()) {
    if (line.msg !== 'request' || Date.parse(line.time) < sinceWallMs || line.method !== 'GET') continue
    const reason = String(line.reason)
    bytesByReason.set(reason, (bytesByReason.get(reason) ?? 0) + Number(line.bytes))
  }
  return [...bytesByReason].sort((a, b) => b[1] - a[1]).map(([reason]) => reason)
}
