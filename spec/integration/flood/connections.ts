import { randomBytes, randomInt } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { parseKeyring } from '../../../lib/trust/keyring.ts'
import { makeDialerPreamble } from '../../../lib/trust/stream-preamble.ts'
import type { FloodPlan, FrameKind } from './plan.ts'

/** So many connections may be open at once; more are not made. */
const maxOpen = 2_000
const open = new Set<Socket>()
let turn = 0

/** A connection from an address, or undefined where too many are open. */
export function dial(plan: FloodPlan, port: number, localAddress: string): Socket | undefined {
  if (open.size >= maxOpen) return undefined
  const socket = connect({ host: plan.host, port, localAddress })
  open.add(socket)
  socket.once('close', () => open.delete(socket))
  socket.on('error', () => {})
  socket.resume()
  return socket
}

/** A connection from the next of the strangers' addresses that sends `bytes` and ends, or stays silent until it is cut off, `heldMs` at most. */
function burst(plan: FloodPlan, port: number, bytes: Uint8Array, heldMs = 0): boolean {
  turn += 1
  const socket = dial(plan, port, plan.sources[turn % plan.sources.length] ?? plan.insider)
  if (socket === undefined) return false
  if (heldMs === 0) {
    socket.end(bytes)
  } else {
    socket.write(bytes)
    setTimeout(() => socket.destroy(), heldMs).unref()
  }
  return true
}

/** What strangers and holders of the PSK alone throw at the p2p port. */
export function p2pKinds(plan: FloodPlan): readonly FrameKind[] {
  const port = plan.p2pPort
  const [psk] = parseKeyring(plan.psk, 'psk')
  const preamble = () => makeDialerPreamble(psk, randomBytes(16))
  const send = (bytes: Uint8Array, heldMs?: number) => burst(plan, port, bytes, heldMs)
  return [
    { name: 'p2p random', weight: 10, send: () => send(randomBytes(randomInt(33, 4_096))) },
    { name: 'p2p truncated', weight: 5, send: () => send(preamble().subarray(0, randomInt(1, 20))) },
    { name: 'p2p silent', weight: 1, send: () => send(preamble().subarray(0, 5), 10_000) },
    { name: 'p2p oversized', weight: 1, send: () => send(randomBytes(200_000)) },
    {
      name: 'p2p PSK, then noise',
      weight: 2,
      send: () => send(Buffer.concat([preamble(), randomBytes(randomInt(1, 20_000))])),
    },
    { name: 'p2p PSK, then silence', weight: 1, send: () => send(preamble(), 10_000) },
  ]
}

/** A TLS 1.2 record header for a handshake message (RFC 5246 §6.2.1). */
function record(sizeBytes: number): Buffer {
  return Buffer.from([22, 3, 1, sizeBytes >> 8, sizeBytes & 0xff])
}

/** What strangers throw at the registry port: nothing here gets through TLS. */
export function tlsNoiseKinds(plan: FloodPlan): readonly FrameKind[] {
  const send = (bytes: Uint8Array, heldMs?: number) => burst(plan, plan.registryPort, bytes, heldMs)
  const hello = (announced: number, sent: number) => {
    const body = Buffer.concat([Buffer.from([1, 0, 0, Math.max(0, announced - 4) & 0xff]), randomBytes(sent)])
    return Buffer.concat([record(announced), body])
  }
  return [
    { name: 'registry random', weight: 10, send: () => send(randomBytes(randomInt(1, 2_000))) },
    { name: 'registry plain HTTP', weight: 3, send: () => send(Buffer.from('GET /v2/ HTTP/1.1\r\n\r\n')) },
    { name: 'registry truncated hello', weight: 5, send: () => send(hello(500, randomInt(1, 300))) },
    { name: 'registry oversized record', weight: 3, send: () => send(hello(0xffff, 20_000)) },
    { name: 'registry hello, then silence', weight: 0.3, send: () => send(hello(500, 100), 12_000) },
  ]
}
