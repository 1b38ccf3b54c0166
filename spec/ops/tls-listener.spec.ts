import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { CredentialSet, KeyPair } from '../../lib/core/credentials.ts'
import type { Endpoint } from '../../lib/core/peer.ts'
import { createOpsServer, type OpsServer } from '../../lib/ops/server.ts'
import { issueServingCertificate } from '../../lib/trust/certificates.ts'
import { type TempFolder, tempFolder } from '../support/temp-folder.ts'
import {
  makeTestAuthority,
  makeTestCredentials,
  type TestAuthority,
  testTerms,
} from '../support/test-trust.ts'
import { fakeNodeView } from './fake-node-view.ts'
import { ask } from './http.ts'
import { recordingLog } from './recording-log.ts'

const host = '127.0.12.1'
let folder: TempFolder
let authority: TestAuthority
let credentials: CredentialSet
let server: OpsServer
let endpoint: Endpoint
const log = recordingLog()
let follow: ((next: CredentialSet) => void) | undefined

before(async () => {
  folder = await tempFolder('ops-tls')
  authority = await makeTestAuthority()
  credentials = await makeTestCredentials('node-1', { authority })
  server = createOpsServer({
    view: fakeNodeView(),
    socket: join(folder.path, 'ops.sock'),
    listen: { host, port: 0 },
    credentials: {
      current: () => credentials,
      subscribe: (listener) => {
        follow = listener
        return () => {}
      },
    },
    log,
  })
  await server.start()
  const address = server.address()
  assert(address !== undefined)
  endpoint = address
})

after(async () => {
  await server.stop()
  await folder[Symbol.asyncDispose]()
})

const get = (client: KeyPair | undefined, ca = credentials.serverCaPem) =>
  ask({
    ...endpoint,
    path: '/api/v1/status',
    ca,
    ...(client === undefined ? {} : { cert: client.certPem, key: client.keyPem }),
    servername: 'node-1',
  })

describe('the ops API over TCP', () => {
  it('answers a client with a certificate of the client CA', async () => {
    const answer = await get(credentials.client)
    assert.equal(answer.status, 200)
    assert(answer.body.includes('node-1'))
  })

  it('gives nothing to a client without a certificate, and logs it', async () => {
    await assert.rejects(get(undefined))
    assert(log.lines.some((line) => line.includes('a client of the ops API could not prove itself')))
  })

  it('gives nothing to a client of another CA', async () => {
    const foreign = await makeTestCredentials('node-1')
    await assert.rejects(get(foreign.client))
  })

  it('gives nothing to an expired certificate', async () => {
    const expired = await makeTestCredentials('node-1', { authority, notAfterMs: Date.now() - 60_000 })
    await assert.rejects(get(expired.client))
  })

  it('gives nothing to a certificate of the client CA that is one for servers', async () => {
    const subject = { nodeName: 'node-1', addresses: [], peerId: credentials.peerId }
    const wrong = await issueServingCertificate(authority.clientCa, subject, testTerms())
    const answer = await get(wrong).catch(() => undefined)
    assert(answer === undefined || answer.status === 403, JSON.stringify(answer))
  })

  it('follows new credentials without a restart', async () => {
    const next = await makeTestCredentials('node-1')
    follow?.(next)
    await assert.rejects(get(credentials.client, next.serverCaPem))
    assert.equal((await get(next.client, next.serverCaPem)).status, 200)
  })

  it('names the port where it is taken, and leaves no socket behind', async () => {
    const other = createServer().listen({ host, port: 0 })
    await once(other, 'listening')
    const { port } = other.address() as { port: number }
    const socket = join(folder.path, 'second.sock')
    const second = createOpsServer({
      view: fakeNodeView(),
      socket,
      listen: { host, port },
      credentials: { current: () => credentials, subscribe: () => () => {} },
      log,
    })
    await assert.rejects(second.start(), {
      code: 'PORT_IN_USE',
      message: `ops.listen ${host}:${port} is already taken`,
    })
    await assert.rejects(ask({ socketPath: socket, path: '/healthz' }), { code: 'ENOENT' })
    other.close()
  })
})
