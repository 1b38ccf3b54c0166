import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { connect as connectTcp, type Socket } from 'node:net'
import { test } from 'node:test'
import { type ConnectionOptions, connect } from 'node:tls'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import { eventually } from '../support/eventually.ts'
import { makeTestCluster } from '../support/test-trust.ts'
import { blobPath, clientTls, digestOf, fetchFrom, startPlane } from './harness.ts'

test('a hundred connections that send a byte a second keep nobody waiting', async () => {
  const cluster = await makeTestCluster({ nodes: [{ name: 'server' }, { name: 'client' }] })
  const node = (name: string): CredentialSet => cluster.get(name) as CredentialSet
  await using server = await startPlane(node('server'))
  const content = randomBytes(100_000)
  server.control.local.put(content)
  const { host, port } = server.endpoint
  const head = `GET ${blobPath(digestOf(content))} HTTP/1.1\r\nhost: registry.test\r\nx: ${'x'.repeat(60)}`
  const open: Socket[] = []
  const timers: NodeJS.Timeout[] = []
  let sent = 0
  for (let index = 0; index < 100; index += 1) {
    const tls = clientTls(node('client')) as ConnectionOptions
    const socket = index % 2 === 0 ? connectTcp({ host, port }) : connect({ ...tls, host, port })
    socket.on('error', () => undefined)
    let at = 0
    const drip = () => {
      if (socket.destroyed || at === head.length) return
      socket.write(head[at++] ?? '')
      sent += 1
    }
    drip()
    timers.push(setInterval(drip, 1000))
    open.push(socket)
  }
  try {
    await eventually(() => sent >= 200 || open.every((socket) => socket.destroyed))
    const startedMs = performance.now()
    for (let round = 0; round < 10; round += 1) {
      const { status, body } = await fetchFrom(server.endpoint, node('client'), blobPath(digestOf(content)))
      assert.deepEqual([status, body.equals(content)], [200, true])
    }
    assert.ok(performance.now() - startedMs < 5_000)
  } finally {
    for (const timer of timers) clearInterval(timer)
    for (const socket of open) socket.destroy()
  }
})
