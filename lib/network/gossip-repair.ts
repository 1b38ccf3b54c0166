import type { GossipSub, GossipSubComponents } from '@chainsafe/libp2p-gossipsub'
import type { PeerId } from '../core/peer-id.ts'
import type { ConnectionTable } from './connection-table.ts'

const settleMs = 2_000

/**
 * Gives gossipsub its outgoing stream to each connected peer back. It opens one when a peer connects, and no other
 * when that one is lost while a second connection to the peer lives on, or when it broke for a full buffer.
 * @param nowMs wall clock; younger connections are left alone, gossipsub is still at it
 * @returns how many peers were short of one
 */
export async function repairGossipStreams(
  pubsub: Pick<GossipSub, 'protocols'>,
  registrar: GossipSubComponents['registrar'],
  table: ConnectionTable,
  nowMs: number,
): Promise<number> {
  let repaired = 0
  for (const peerId of [...table.peers()]) {
    const newest = table.pick(peerId)
    if (newest === undefined || nowMs - newest.timeline.open < settleMs) continue
    if (await repairGossipStream(pubsub, registrar, table, peerId)) repaired++
  }
  return repaired
}

/** The same for one peer, however young its connections are. @returns whether it was short of one */
export async function repairGossipStream(
  pubsub: Pick<GossipSub, 'protocols'>,
  registrar: GossipSubComponents['registrar'],
  table: ConnectionTable,
  peerId: PeerId,
): Promise<boolean> {
  const connections = table.of(peerId)
  const newest = connections.at(-1)
  const hasStream = connections.some((connection) =>
    connection.streams.some(
      ({ direction, protocol }) => direction === 'outbound' && pubsub.protocols.includes(protocol),
    ),
  )
  if (newest === undefined || hasStream) return false
  for (const topology of pubsub.protocols.slice(0, 1).flatMap((name) => registrar.getTopologies(name))) {
    await topology.onConnect?.(newest.remotePeer, newest)
  }
  return true
}
