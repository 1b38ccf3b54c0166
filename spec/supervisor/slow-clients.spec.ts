import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { type TLSSocket, connect as tlsConnect } from 'node:tls'
import { fetchCaBundle } from '../../lib/supervisor/client.ts'
import { eventually } from '../support/eventually.ts'
import { joinTestNode, startTestServer, type TestServer } from '../support/test-supervisor.ts'

const count = 100
const closing = (socket: Socket) => new Promise<void>((resolve) => socket.once('close', () => resolve()))

describe('slow clients on 9345', () => {
  let server: TestServer
  const open: Socket[] = []
  before(async () => {
    server = await startTestServer()
  })
  after(async () => {
    for (const socket of open) socket.destroy()
    await server[Symbol.asyncDispose]()
  })

  function drip(socket: Socket | TLSSocket, text: string): void {
    let at = 0
    const timer = setInterval(() => {
      if (!socket.destroyed && at < text.length) socket.write(text[at++] ?? '')
    }, 1000)
    socket.once('close', () => clearInterval(timer))
    socket.on('error', () => undefined)
    open.push(socket)
  }

  it('hold nobody up, send what they may, and are closed in time', async () => {
    const text = `POST /v1/join HTTP/1.1\r\nhost: x\r\ncontent-length: 5000\r\n\r\n${'x'.repeat(100)}`
    const closed: Promise<void>[] = []
    for (let index = 0; index < count; index += 1) {
      if (index % 4 === 0) {
        const socket = connect({ host: server.address, port: 9345 })
        drip(socket, text)
        closed.push(closing(socket))
      } else {
        const socket = tlsConnect({ host: server.address, port: 9345, rejectUnauthorized: false })
        drip(socket, text)
        closed.push(closing(socket))
      }
    }
    await eventually(() => open.every((socket) => socket.remoteAddress !== undefined || socket.destroyed))
    const startedMs = performance.now()
    for (let index = 0; index < 5; index += 1) {
      assert.match(await fetchCaBundle(server.url), /BEGIN CERTIFICATE/)
    }
    const { client } = await joinTestNode(server, 'node-1')
    assert.deepEqual(await client.call('GET', '/healthz'), { healthy: true })
    client.close()
    assert.ok(performance.now() - startedMs < 5_000)
    await Promise.all(closed)
  })

  it('cannot take the connections that members have', async () => {
    const { client } = await joinTestNode(server, 'node-2')
    assert.deepEqual(await client.call('GET', '/healthz'), { healthy: true })
    const flood = Array.from({ length: 400 }, () => {
      const socket = connect({ host: server.address, port: 9345 })
      socket.on('error', () => undefined)
      open.push(socket)
      return socket
    })
    await eventually(() => server.metrics.total('starling_supervisor_connections_refused_total') > 100)
    assert.deepEqual(await client.call('GET', '/healthz'), { healthy: true })
    client.close()
    for (const socket of flood) socket.destroy()
  })
})
