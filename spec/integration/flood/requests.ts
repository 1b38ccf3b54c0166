import { randomBytes } from 'node:crypto'
import { connect, type TLSSocket } from 'node:tls'
import { dial } from './connections.ts'
import type { FloodPlan, FrameKind } from './plan.ts'

/** Connections with a client certificate are used for several frames, as their handshake is what costs most. */
const maxKept = 40
const slowHeaderMs = 1_000

type Sender = (socket: TLSSocket) => void

/** What somebody with a client certificate throws at the registry port. */
export function requestKinds(plan: FloodPlan): readonly FrameKind[] {
  const kept: TLSSocket[] = []

  function secure(withCertificate: boolean): TLSSocket | undefined {
    const raw = dial(
      plan,
      plan.registryPort,
      withCertificate ? plan.insider : (plan.sources[0] ?? plan.insider),
    )
    if (raw === undefined) return undefined
    const { ca, cert, key } = plan.tls
    const identity = withCertificate ? { cert, key } : {}
    const socket = connect({ socket: raw, ca, ...identity, checkServerIdentity: () => undefined })
    socket.on('error', () => {})
    socket.resume()
    return socket
  }

  function freshly(send: Sender): () => boolean {
    return () => {
      const socket = secure(true)
      socket?.once('secureConnect', () => send(socket))
      return socket !== undefined
    }
  }

  /** Slow-loris: a head that never ends, a line at a time. Each line is a frame. */
  function drip(): boolean {
    for (const [index, socket] of kept.entries()) if (socket.destroyed) kept.splice(index, 1)
    if (kept.length < maxKept) {
      const socket = secure(true)
      if (socket === undefined) return false
      kept.push(socket)
      socket.write('GET /v2/ HTTP/1.1\r\nhost: x\r\n')
    }
    const socket = kept[Math.floor(Math.random() * kept.length)]
    setTimeout(() => {
      if (socket?.writable === true) socket.write(`x-${Date.now()}: y\r\n`)
    }, slowHeaderMs * Math.random()).unref()
    return true
  }

  return [
    { name: 'registry no certificate', weight: 0.4, send: () => secure(false) !== undefined },
    { name: 'registry noise', weight: 0.2, send: freshly((socket) => socket.end(randomBytes(3_000))) },
    {
      name: 'registry long head',
      weight: 0.2,
      send: freshly((socket) => socket.end(`GET /v2/ HTTP/1.1\r\nx: ${'y'.repeat(60_000)}\r\n\r\n`)),
    },
    {
      name: 'registry hostile path',
      weight: 0.2,
      send: freshly((socket) =>
        socket.end(`GET /v2/${'../'.repeat(1_000)}\0/manifests/x?ns=a HTTP/1.1\r\nhost: x\r\n\r\n`),
      ),
    },
    { name: 'registry slow head', weight: 3, send: drip },
  ]
}
