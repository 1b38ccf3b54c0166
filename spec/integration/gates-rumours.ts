import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import type { Keyring } from '../../lib/core/credentials.ts'
import type { PeerView } from '../../lib/core/ops-view.ts'
import type { Endpoint } from '../../lib/core/peer.ts'
import { type PeerId, publicKeyFromPeerId, shortIdOf } from '../../lib/core/peer-id.ts'
import { encodeMessage, messageType } from '../../lib/membership/messages.ts'
import type { StateCode } from '../../lib/membership/states.ts'
import { DatagramSealer } from '../../lib/trust/datagram-seal.ts'
import { makeIdentityPem, readIdentity } from '../../lib/trust/identity.ts'

/** Says something of members in datagrams that are sealed with the PSK and signed by an identity, as nodes do. */
export interface RumourSender {
  /** One datagram: each of `members` has this state, in an incarnation that is higher by `raiseBy` than the true one. */
  send(to: Endpoint, members: readonly PeerView[], rumour: { state: StateCode; raiseBy: number }): void
  close(): void
}

/** `identityPem` is a fresh identity by default: that of somebody who is no member. */
export function rumourSender(options: { keyring: Keyring; identityPem?: string }): RumourSender {
  const { publicKey, privateKey } = readIdentity(options.identityPem ?? makeIdentityPem())
  const keyring = () => options.keyring
  const sealer = new DatagramSealer({ publicKey, privateKey, keyring, bootSalt: randomBytes(16) })
  const socket = createSocket('udp4')
  socket.on('error', () => {})
  return {
    send(to, members, { state, raiseBy }) {
      const claims = members.map(({ peerId, incarnation }) => ({
        shortId: shortIdOf(publicKeyFromPeerId(peerId as PeerId)),
        incarnation: incarnation + raiseBy,
        state,
        hash: '00'.repeat(16),
      }))
      const body = encodeMessage({
        type: messageType.gossip,
        sequence: 0,
        incarnation: 1,
        hash: '00'.repeat(16),
        claims,
      })
      socket.send(sealer.seal(body), to.port, to.host, () => {})
    },
    close: () => void socket.close(),
  }
}
