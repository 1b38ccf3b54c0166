import { randomBytes, randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { keyIdOf, writeHeader } from '../../../lib/trust/datagram-format.ts'
import { parseKeyring } from '../../../lib/trust/keyring.ts'
import type { FloodPlan, FrameKind } from './plan.ts'

/** Random bytes, frames cut short, frames that are too large, and frames whose header is that of a member. */
export function datagramKinds(plan: FloodPlan): { kinds: readonly FrameKind[]; close: () => void } {
  const socket = createSocket('udp4')
  socket.on('error', () => {})
  socket.unref()
  const noise = randomBytes(65_507)
  const [psk] = parseKeyring(plan.psk, 'psk')
  const publicKey = Buffer.from(plan.memberKey, 'hex')
  const send = (bytes: Uint8Array): boolean => {
    socket.send(bytes, plan.p2pPort, plan.host, () => {})
    return true
  }
  const piece = (sizeBytes: number) => {
    const from = randomInt(noise.length - sizeBytes + 1)
    return noise.subarray(from, from + sizeBytes)
  }
  let counter = 0
  const header = (salt: Uint8Array) => {
    counter += 1
    return writeHeader({ keyId: keyIdOf(psk), publicKey, salt, counter })
  }
  const salt = randomBytes(16)
  const kinds: readonly FrameKind[] = [
    { name: 'udp random', weight: 6, send: () => send(piece(randomInt(1, 1400))) },
    { name: 'udp empty', weight: 1, send: () => send(noise.subarray(0, 0)) },
    { name: 'udp truncated', weight: 4, send: () => send(header(salt).subarray(0, randomInt(1, 61))) },
    { name: 'udp oversized', weight: 1, send: () => send(piece(randomInt(1_201, 9_000))) },
    { name: 'udp largest', weight: 0.2, send: () => send(noise) },
    { name: 'udp known sender', weight: 4, send: () => send(Buffer.concat([header(salt), piece(300)])) },
    {
      name: 'udp known sender, new boot',
      weight: 4,
      send: () => send(Buffer.concat([header(piece(16)), piece(randomInt(80, 1_100))])),
    },
  ]
  return { kinds, close: () => socket.close() }
}
