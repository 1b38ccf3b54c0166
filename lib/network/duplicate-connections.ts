import type { Connection } from '@libp2p/interface'
import { rpcProtocols } from '../core/messaging.ts'
import type { PeerId } from '../core/peer-id.ts'
import type { ConnectionTable } from './connection-table.ts'

const busyProtocols = new Set<string>(Object.values(rpcProtocols))

/**
 * Closes surplus connections to a peer, but the newest, once no request runs on them. Of two nodes only the one with
 * the smaller PeerId does it, so that they never close one each.
 * @returns how many were closed
 */
export function closeDuplicates(table: ConnectionTable, self: PeerId): number {
  let closed = 0
  for (const peerId of table.peers()) {
    if (self > peerId) continue
    for (const connection of table.of(peerId).slice(0, -1)) {
      if (isBusy(connection)) continue
      closed++
      connection.close().catch((error: unknown) => {
        connection.abort(error instanceof Error ? error : new Error(String(error)))
      })
    }
  }
  return closed
}

function isBusy(connection: Connection): boolean {
  return connection.streams.some((stream) => busyProtocols.has(stream.protocol))
}
