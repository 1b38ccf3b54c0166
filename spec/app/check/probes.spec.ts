import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, createServer } from 'node:net'
import { describe, it } from 'node:test'
import { bindError, challengeOf, connectProblem, probeRegistry } from '../../../lib/app/check/probes.ts'
import { makeTestAuthority, makeTestCluster } from '../../support/test-trust.ts'

const host = '127.0.13.7'

describe('the probes of the check', () => {
  it('tell whether a port is taken, over TCP and UDP, and leave it free', async () => {
    const server = createServer().listen(0, host)
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    assert.equal(await bindError({ host, port }, 'TCP'), 'EADDRINUSE')
    assert.equal(await bindError({ host, port }, 'UDP'), undefined)
    assert.equal(await connectProblem(host, port), undefined)
    server.close()
    await once(server, 'close')
    assert.equal(await bindError({ host, port }, 'TCP'), undefined)
    assert.equal(await bindError({ host, port }, 'TCP'), undefined)
    assert.equal(await connectProblem(host, port), `${host}:${port} refuses connections`)
    const socket = createSocket('udp4').bind(port, host)
    await once(socket, 'listening')
    assert.equal(await bindError({ host, port }, 'UDP'), 'EADDRINUSE')
    socket.close()
    assert.equal(await bindError({ host: '192.0.2.77', port }, 'TCP'), 'EADDRNOTAVAIL')
  })

  it("read a peer's clock off its answer, and what a registry asks for", async () => {
    const authority = await makeTestAuthority()
    const set = [
      ...(await makeTestCluster({ authority, nodes: [{ name: 'node-2', addresses: [host] }] })).values(),
    ][0]
    assert.ok(set !== undefined)
    const { serving, client, serverCaPem: ca } = set
    const server = createHttpsServer({ cert: serving.certPem, key: serving.keyPem }, (request, response) => {
      response.setHeader('date', new Date(Date.now() + 600_000).toUTCString())
      if (request.method === 'GET')
        response.writeHead(401, { 'www-authenticate': 'Bearer realm="https://t.test"' })
      response.end()
    }).listen(0, host)
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    try {
      const tls = { ca, cert: client.certPem, key: client.keyPem }
      const probe = await probeRegistry({ host, port, name: 'node-2' }, tls)
      assert.equal(probe.problem, undefined)
      assert.ok(Math.abs((probe.skewMs ?? 0) - 600_000) <= 5000, String(probe.skewMs))
      const other = await probeRegistry({ host, port, name: 'node-3' }, tls)
      assert.match(other.problem ?? '', /node-3|altnames/i)
      assert.match((await challengeOf(`${host}:${port}`)) ?? '', /^Bearer realm/)
    } finally {
      server.close()
    }
    assert.equal(await challengeOf(`${host}:${port}`), undefined)
  })
})
