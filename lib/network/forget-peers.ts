import type { PeerStore } from '@libp2p/interface'
import type { PeerId } from '../core/peer-id.ts'

/**
 * Makes libp2p forget peers that are not connected: it would keep each for hours, with addresses that a restarted peer
 * no longer has. Membership keeps its own. @returns how many were forgotten
 */
export async function forgetAbsentPeers(
  store: Pick<PeerStore, 'all' | 'delete'>,
  self: PeerId,
  isConnected: (peerId: PeerId) => boolean,
): Promise<number> {
  let forgotten = 0
  for (const { id } of await store.all()) {
    const peerId = id.toString() as PeerId
    if (peerId === self || isConnected(peerId)) continue
    await store.delete(id)
    forgotten++
  }
  return forgotten
}
