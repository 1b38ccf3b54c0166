import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { makeTestCredentials } from '../test-trust.ts'
import { type ClientTls, fetchRegistry } from './registry-client.ts'

const body = randomBytes(3 * 2 ** 20)
const digest = `sha256:${createHash('sha256').update(body).digest('hex')}`

/** Clients of the pipe in front of the server: a TLS socket cannot be reset, a TCP socket can. */
const clients: Socket[] = []

/** What the server does with a request, by path. */
const behaviours: Readonly<Record<string, (response: ServerResponse, socket: TLSSocket) => void>> = {
  '/whole': (response) => response.end(body),
  '/fin': (response, socket) => response.write(body.subarray(0, 2 ** 20), () => socket.end()),
  '/half': (response) => response.write(body.subarray(0, 2 ** 20)),
  '/silent': () => {},
}

describe('the registry client of the tests', () => {
  let tls: ClientTls
  let url: URL
  const server = createServer((request, response) => {
    response.setHeader('content-length', body.length)
    behaviours[request.url ?? '']?.(response, request.socket as TLSSocket)
  })

  const pipe = createTcpServer((client) => {
    clients.push(client)
    const inner = connect((server.address() as AddressInfo).port, '127.0.0.1')
    client.on('error', () => inner.destroy())
    inner.on('error', () => client.destroy())
    client.pipe(inner).pipe(client)
  })

  before(async () => {
    const credentials = await makeTestCredentials()
    tls = { ca: credentials.serverCaPem, cert: credentials.client.certPem, key: credentials.client.keyPem }
    server.setSecureContext({
      cert: credentials.serving.certPem,
      key: credentials.serving.keyPem,
      ca: credentials.clientCaPem,
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    pipe.listen(0, '127.0.0.1')
    await once(pipe, 'listening')
    url = new URL(`https://127.0.0.1:${(pipe.address() as AddressInfo).port}`)
  })
  after(() => {
    server.closeAllConnections()
    server.close()
    pipe.close()
  })

  it('hashes a whole body', async () => {
    const fetched = await fetchRegistry(new URL('/whole', url), tls)
    assert.equal(fetched.end, 'complete')
    assert.equal(fetched.digest, digest)
    assert.equal(fetched.bytes, body.length)
  })

  it('tells an early end by FIN from a reset', async () => {
    assert.equal((await fetchRegistry(new URL('/fin', url), tls)).end, 'early-fin')
    const onBytes = () => void clients.at(-1)?.resetAndDestroy()
    assert.equal((await fetchRegistry(new URL('/half', url), tls, { onBytes })).end, 'reset')
  })

  it('gives up when nothing comes', async () => {
    await assert.rejects(fetchRegistry(new URL('/silent', url), tls, { timeoutMs: 200 }), /no byte from/)
  })

  it('does not believe a server of another CA', async () => {
    const other = await makeTestCredentials()
    await assert.rejects(fetchRegistry(new URL('/whole', url), { ...tls, ca: other.serverCaPem }))
  })
})
