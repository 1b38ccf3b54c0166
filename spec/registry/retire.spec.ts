import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Agent } from 'node:https'
import { connect as connectTcp } from 'node:net'
import { before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import type { Digest } from '../../lib/core/digest.ts'
import { eventually } from '../support/eventually.ts'
import { makeTestCluster } from '../support/test-trust.ts'
import {
  blobPath,
  candidateOf,
  clientTls,
  digestOf,
  fetchFrom,
  keptAgent,
  startPlane,
  type TestPlane,
} from './harness.ts'

/** What goes on at a listener that ends may take so long here. */
const graceMs = 30_000

let cluster: Map<string, CredentialSet>
const node = (name: string): CredentialSet => cluster.get(name) as CredentialSet
const tls = () => clientTls(node('client')) as ConnectionOptions
const requestText = (path: string) => `GET ${path} HTTP/1.1\r\nhost: registry.test\r\n\r\n`

before(async () => {
  cluster = await makeTestCluster({ nodes: [{ name: 'one' }, { name: 'two' }, { name: 'client' }] })
})

const open = (server: TestPlane, options: ConnectionOptions = {}): TLSSocket =>
  connect({ ...tls(), host: server.endpoint.host, port: server.endpoint.port, ...options })

/** Everything that comes until the other side closes. @throws Error where it resets the connection */
async function readAll(socket: TLSSocket): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function bodyOf(answer: Buffer): Buffer {
  return answer.subarray(answer.indexOf('\r\n\r\n') + 4)
}

const isRefused = (server: TestPlane) =>
  fetchFrom(server.endpoint, node('client'), '/v2/').then(
    () => false,
    (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED',
  )

test('answers whose last bytes wait for slow clients reach them whole', async () => {
  await using holder = await startPlane(node('two'), { host: '127.0.11.91' })
  await using server = await startPlane(node('one'), { host: '127.0.11.92' })
  server.control.candidates = [candidateOf(node('two'), holder.endpoint)]
  const content = Buffer.alloc(6_000_000, 'of a registry')
  // Whatever the kernels take of them: of some the end waits in the process.
  const digests = new Map<Digest, TLSSocket>()
  for (let sizeBytes = 100_000; sizeBytes <= content.length; sizeBytes += 100_000) {
    const digest = holder.control.local.put(content.subarray(0, sizeBytes))
    const socket = open(server)
    socket.write(requestText(blobPath(digest)))
    digests.set(digest, socket)
  }
  const sent = () => holder.control.requests.length
  await eventually(async () => {
    const before = sent()
    await delay(300)
    return before > 0 && sent() === before && server.plane.requestsInFlight() > 0
  })
  const stopped = server.plane.stop(graceMs)
  await eventually(() => isRefused(server))
  for (const [digest, socket] of digests) {
    assert.equal(digestOf(bodyOf(await readAll(socket))), digest)
  }
  await stopped
})

test('connections that wait to be accepted, or have asked nothing yet, get their answer', async () => {
  await using server = await startPlane(node('one'), { host: '127.0.11.93' })
  const content = Buffer.alloc(300_000, 'of a registry')
  const digest = server.control.local.put(content)
  const established = open(server)
  await once(established, 'secureConnect')
  const { host, port } = server.endpoint
  const waiting = Array.from({ length: 20 }, () => connectTcp({ host, port }))
  // Now the kernel has them all, and this thread has had no turn to accept one.
  await new Promise((resolve) => process.nextTick(resolve))
  const stopped = server.plane.stop(graceMs)
  await eventually(() => isRefused(server))
  for (const socket of [established, ...waiting.map((socket) => open(server, { socket }))]) {
    socket.write(requestText(blobPath(digest)))
    const answer = await readAll(socket)
    assert.match(answer.toString('latin1', 0, 500), /^HTTP\/1\.1 200 .*\r\nconnection: close\r\n/is)
    assert.equal(digestOf(bodyOf(answer)), digest)
  }
  await stopped
})

test('a kept connection is told to close by its next answer, and ends by FIN where none is asked for', async () => {
  await using server = await startPlane(node('one'), { host: '127.0.11.94' })
  const agent: Agent = keptAgent()
  const ask = () => fetchFrom(server.endpoint, node('client'), '/v2/', { agent })
  assert.notEqual((await ask()).headers.connection, 'close')
  const idle = open(server)
  idle.write(requestText('/v2/'))
  await once(idle, 'data')
  server.plane.retire()
  const last = await ask()
  assert.deepEqual([last.status, last.headers.connection], [200, 'close'])
  assert.equal((await ask()).status, 200)
  const ended = readAll(idle)
  await server.plane.stop(graceMs)
  await ended
  agent.destroy()
})
