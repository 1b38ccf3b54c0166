import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { connect as connectTcp, createServer as createTcpServer, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import type { Endpoint } from '../../lib/core/peer.ts'
import { issueServingCertificate } from '../../lib/trust/certificates.ts'
import { eventually } from '../support/eventually.ts'
import { makeTestAuthority, makeTestCluster, type TestAuthority, testTerms } from '../support/test-trust.ts'
import {
  blobPath,
  candidateOf,
  clientTls,
  digestOf,
  fetchFrom,
  keptAgent,
  registryCredentials,
  startPlane,
  type TestPlane,
} from './harness.ts'
import { misbehaviours, startHostilePeer } from './hostile-peer.ts'

let authority: TestAuthority
let cluster: Map<string, CredentialSet>
let server: TestPlane
const node = (name: string): CredentialSet => cluster.get(name) as CredentialSet
const content = randomBytes(100_000)

before(async () => {
  authority = await makeTestAuthority()
  cluster = await makeTestCluster({
    authority,
    nodes: [{ name: 'server' }, { name: 'client' }, { name: 'hostile' }],
  })
  server = await startPlane(node('server'))
  server.control.local.put(content)
})

after(() => server?.[Symbol.asyncDispose]())

/** Connects, sends `text`, and collects what comes until the connection ends. */
function raw(
  endpoint: Endpoint,
  options: ConnectionOptions,
  text: string,
): Promise<{ received: Buffer; end: 'fin' | 'error'; code: string | undefined; socket: TLSSocket }> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    const socket = connect({
      ...options,
      host: endpoint.host,
      port: endpoint.port,
      checkServerIdentity: () => undefined,
    })
    const settle = (end: 'fin' | 'error', code?: string): void =>
      resolve({ received: Buffer.concat(chunks), end, code, socket })
    socket.on('secureConnect', () => socket.write(text))
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('end', () => settle('fin'))
    socket.on('error', (error: NodeJS.ErrnoException) => settle('error', error.code))
    socket.on('close', () => settle('fin'))
  })
}

const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nhost: x\r\n${more}\r\n`
const anyBlob = (): string => blobPath(server.control.local.put(content))

test('a client without a certificate gets a TLS alert and no byte of content', async () => {
  const { ca } = clientTls(node('server'))
  const { received, code } = await raw(server.endpoint, { ca: ca as string }, get(anyBlob()))
  assert.equal(received.length, 0)
  assert.match(code ?? '', /CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|ECONNRESET/)
  await eventually(() => [...server.metrics.counts.keys()].some((key) => key.includes('no-certificate')))
})

test('a client with a certificate of another CA gets no byte', async () => {
  const [stranger] = (await makeTestCluster({ nodes: [{ name: 'client' }] })).values()
  const { cert, key } = clientTls(stranger as CredentialSet)
  const options = { ca: node('server').serverCaPem, cert: cert as string, key: key as string }
  const { received } = await raw(server.endpoint, options, get(anyBlob()))
  assert.equal(received.length, 0)
  await eventually(() =>
    [...server.metrics.counts.keys()].some((key) => /refused.*[^-]\bcertificate/.test(key)),
  )
})

test('a certificate for servers does not do as a client certificate, even of the client CA', async () => {
  const subject = { nodeName: 'client', addresses: ['127.0.0.1'], peerId: node('client').peerId }
  const { certPem, keyPem } = await issueServingCertificate(authority.clientCa, subject, testTerms())
  const options = { ca: node('server').serverCaPem, cert: certPem, key: keyPem }
  const { received } = await raw(server.endpoint, options, get(anyBlob()))
  assert.ok(!received.toString('latin1').includes(' 200 '), received.toString('latin1').slice(0, 200))
})

test('an expired client certificate gets no byte', async () => {
  const now = Date.now()
  const nodes = [{ name: 'client' }]
  const [late] = (
    await makeTestCluster({ authority, nodes, notBeforeMs: now - 7200_000, notAfterMs: now - 1000 })
  ).values()
  const { cert, key } = clientTls(late as CredentialSet)
  const options = { ca: node('server').serverCaPem, cert: cert as string, key: key as string }
  assert.equal((await raw(server.endpoint, options, get(anyBlob()))).received.length, 0)
})

test('TLS 1.1 is not spoken', async () => {
  const { ca, cert, key } = clientTls(node('client'))
  const old: ConnectionOptions = {
    minVersion: 'TLSv1.1',
    maxVersion: 'TLSv1.1',
    ciphers: 'DEFAULT:@SECLEVEL=0',
  }
  const options = { ca: ca as string, cert: cert as string, key: key as string, ...old }
  const { end, received } = await raw(server.endpoint, options, get(anyBlob()))
  assert.equal(end, 'error')
  assert.equal(received.length, 0)
})

test('a kept connection is judged by a new client CA at its next request', async () => {
  await using plane = await startPlane(node('server'))
  const agent = keptAgent()
  const ask = () => fetchFrom(plane.endpoint, node('client'), '/v2/', { agent })
  assert.equal((await ask()).status, 200)
  await eventually(() => Object.keys(agent.freeSockets).length === 1)
  const other = await makeTestAuthority()
  plane.plane.setCredentials({ ...registryCredentials(node('server')), clientCaPem: other.clientCa.certPem })
  const refused = await ask()
  assert.equal(refused.status, 403)
  assert.match(refused.body.toString(), /DENIED.*client CA did not sign/)
  agent.destroy()
})

test('a node that is revoked is refused at its next request, a machine that has its name now is not', async () => {
  await using plane = await startPlane(node('server'))
  const agent = keptAgent()
  const ask = () => fetchFrom(plane.endpoint, node('client'), '/v2/', { agent })
  assert.equal((await ask()).status, 200)
  const revoked = (revokedMs: number) => {
    const revocations = [{ name: 'client', peerId: node('client').peerId, revokedMs }]
    plane.plane.setCredentials({ ...registryCredentials(node('server')), revocations })
  }
  revoked(Date.now())
  const refused = await ask()
  assert.equal(refused.status, 403)
  assert.match(refused.body.toString(), /DENIED.*the node client was revoked/)
  revoked(Date.now() - 24 * 3_600_000)
  assert.equal((await ask()).status, 200)
  agent.destroy()
})

test('a session that is resumed after the client CA has changed opens nothing', async () => {
  const credentials = registryCredentials(node('server'))
  await using plane = await startPlane(node('server'))
  plane.plane.setCredentials(credentials)
  const { ca, cert, key } = clientTls(node('client'))
  const tls: ConnectionOptions = { ca: ca as string, cert: cert as string, key: key as string }
  let session: Buffer | undefined
  const first = connect({ ...tls, ...plane.endpoint, checkServerIdentity: () => undefined })
  first.on('session', (ticket: Buffer) => {
    session = ticket
  })
  first.on('error', () => {})
  first.write(get('/v2/'))
  await eventually(() => session)
  first.destroy()
  const again = await raw(
    plane.endpoint,
    { ...tls, session: session as never },
    get('/v2/', 'connection: close\r\n'),
  )
  assert.match(again.received.toString(), /^HTTP\/1.1 200/)
  assert.equal(again.socket.isSessionReused(), true)
  const other = await makeTestAuthority()
  // The same ticket keys: the session still opens, and only the check of each request is left.
  plane.plane.setCredentials({ ...credentials, clientCaPem: other.clientCa.certPem })
  const late = await raw(
    plane.endpoint,
    { ...tls, session: session as never },
    get('/v2/', 'connection: close\r\n'),
  )
  assert.doesNotMatch(late.received.toString(), / 200 /)
})

test('new serving certificates are shown to new connections at once', async () => {
  await using plane = await startPlane(node('server'))
  const [renewed] = (await makeTestCluster({ authority, nodes: [{ name: 'server' }] })).values()
  plane.plane.setCredentials(registryCredentials(renewed as CredentialSet))
  const { ca, cert, key } = clientTls(node('client'))
  const options = { ca: ca as string, cert: cert as string, key: key as string }
  const socket = connect({ ...options, ...plane.endpoint, checkServerIdentity: () => undefined })
  await new Promise((resolve) => socket.once('secureConnect', resolve))
  const shown = socket.getPeerX509Certificate()?.toString()
  assert.equal(shown?.trim(), (renewed as CredentialSet).serving.certPem.trim().split('\n\n')[0])
  socket.destroy()
})

/** Passes bytes on in both directions and keeps those of the server. */
async function startRelay(
  target: Endpoint,
): Promise<{ endpoint: Endpoint; fromServer: Buffer[]; resets: number[]; close: () => void }> {
  const fromServer: Buffer[] = []
  const resets: number[] = []
  const relay = createTcpServer({ allowHalfOpen: true }, (near: Socket) => {
    const far = connectTcp({ ...target, allowHalfOpen: true })
    far.on('data', (chunk: Buffer) => {
      fromServer.push(chunk)
      near.write(chunk)
    })
    far.on('end', () => near.end())
    far.on('error', () => resets.push(1))
    near.on('error', () => {})
    near.on('data', (chunk: Buffer) => far.write(chunk))
    near.on('end', () => far.end())
  })
  await new Promise<void>((resolve) => relay.listen(0, '127.0.11.7', resolve))
  const { address, port } = relay.address() as { address: string; port: number }
  return { endpoint: { host: address, port }, fromServer, resets, close: () => relay.close() }
}

/** The types of the TLS records of a stream, in order (RFC 5246 §6.2.1). */
function recordTypes(stream: Buffer): number[] {
  const types: number[] = []
  for (let offset = 0; offset + 5 <= stream.length; offset += 5 + stream.readUInt16BE(offset + 3)) {
    types.push(stream[offset] ?? -1)
  }
  return types
}

test('a body that ends early ends with close_notify and FIN, never with a reset, even when the client is still sending', async () => {
  const body = randomBytes(6_000_000)
  await using asking = await startPlane(node('server'), {
    host: '127.0.11.6',
    limits: { stallTimeoutMs: 100 },
  })
  for (const name of ['dies in the middle', 'stalls in the middle', 'sends a wrong last byte'] as const) {
    await using hostile = await startHostilePeer(node('hostile'), '127.0.11.5', body, misbehaviours[name])
    asking.control.candidates = [candidateOf(node('hostile'), hostile.endpoint)]
    const relay = await startRelay(asking.endpoint)
    const digest = digestOf(body)
    const { ca, cert, key } = clientTls(node('client'))
    const tls: ConnectionOptions = {
      ca: ca as string,
      cert: cert as string,
      key: key as string,
      maxVersion: 'TLSv1.2',
    }
    // The second request stays unanswered in the connection: closing it carelessly would reset.
    const { received, end, code } = await raw(relay.endpoint, tls, get(blobPath(digest)) + get('/v2/'))
    assert.equal(end, 'fin', `${name}: ${code}`)
    assert.ok(received.length > 0 && received.length < body.length)
    const records = recordTypes(Buffer.concat(relay.fromServer))
    assert.equal(records.at(-1), 21, 'the last record is an alert: close_notify')
    assert.deepEqual(relay.resets, [])
    relay.close()
  }
})

const hostileInputs: readonly (readonly [string, string, RegExp])[] = [
  ['bytes that are no HTTP', '\x00\x01\x02\x03\r\n\r\n', /^HTTP\/1\.1 400 /],
  ['a head of 64 KiB', get('/v2/', `x: ${'y'.repeat(65_536)}\r\n`), /^HTTP\/1\.1 431 /],
  ['a target of 10 KiB', get(`/v2/${'a'.repeat(10_000)}`, 'connection: close\r\n'), /^HTTP\/1\.1 414 /],
  ['a raw NUL in the target', get('/v2/a\0b/tags/list'), /^HTTP\/1\.1 400 /],
  [
    'an upload with a body',
    'PUT /v2/a/manifests/1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello',
    /^HTTP\/1\.1 405 .*allow: GET, HEAD/is,
  ],
  [
    'an upload that waits for 100 Continue',
    'POST /v2/a/blobs/uploads/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n',
    /^HTTP\/1\.1 405 /,
  ],
]

for (const [says, text, answer] of hostileInputs) {
  test(`${says} gets a clean client error`, async () => {
    const { ca, cert, key } = clientTls(node('client'))
    const options = { ca: ca as string, cert: cert as string, key: key as string }
    const { received } = await raw(server.endpoint, options, text)
    assert.match(received.toString('latin1'), answer)
    assert.match(received.toString('latin1'), /"errors":\[\{"code":"/)
  })
}

test('a client that pipelines without end is cut off and the listener goes on', async () => {
  const { ca, cert, key } = clientTls(node('client'))
  const options = { ca: ca as string, cert: cert as string, key: key as string }
  await raw(server.endpoint, options, get('/v2/').repeat(500))
  assert.equal((await fetchFrom(server.endpoint, node('client'), '/v2/')).status, 200)
})
