import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { NodeRow } from '../../../lib/app/supervisor/token-admin.ts'
import type { JoinAnswer } from '../../../lib/supervisor/api.ts'
import { createSupervisorClient } from '../../../lib/supervisor/client.ts'
import { issueClientCertificate } from '../../../lib/trust/certificates.ts'
import { JoinRefusedError } from '../../../lib/trust/join-refusal.ts'
import { eventually } from '../../support/eventually.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { joinRequest, joinTestNode, startTestServer, type TestServer } from '../../support/test-supervisor.ts'
import { testTerms } from '../../support/test-trust.ts'

const refused = (reason: string) => (error: unknown) => {
  assert(error instanceof JoinRefusedError, String(error))
  assert.equal(error.reason, reason)
  return true
}

describe('who is revoked', () => {
  let server: TestServer
  const cleanup = new AsyncDisposableStack()
  before(async () => {
    server = cleanup.use(await startTestServer({ config: 'supervisor-metrics: true\n' }))
  })
  after(() => cleanup.disposeAsync())
  const admin = (action: string, body: object) => server.part.admin[action]?.(body)

  it('is refused on every path of 9345, in a watch that waits and after another machine has its name', async () => {
    const { client, keys, request, answer } = await joinTestNode(server, 'node-1')
    cleanup.defer(() => client.close())
    const watching = client.call('GET', `/v1/watch?seen=${answer.revision}&applied=${answer.revision}`)
    const told = assert.rejects(watching, refused('revoked'))
    await eventually(async () => ((await admin('node-list', {})) as NodeRow[])[0]?.heardAt != null)
    await admin('node-revoke', { name: 'node-1' })
    await told
    const paths = ['/v1/watch', '/metrics', '/healthz', '/readyz', '/v1/openapi.json', '/v1/nothing']
    const renewal = {
      body: {
        addresses: [],
        p2p: [],
        publicKey: request.publicKey,
        signature: request.signature,
        servingRequest: request.servingRequest,
        clientRequest: request.clientRequest,
      },
    }
    const assertRefused = async () => {
      for (const path of paths) await assert.rejects(client.call('GET', path), refused('revoked'), path)
      await assert.rejects(client.call('POST', '/v1/renew', renewal), refused('revoked'))
    }
    await assertRefused()
    const [row] = (await admin('node-list', {})) as NodeRow[]
    assert.deepEqual([row?.name, typeof row?.revokedAt], ['node-1', 'string'])
    const stranger = await server.stranger()
    cleanup.defer(() => stranger.close())
    await assert.rejects(
      stranger.call('POST', '/v1/join', {
        body: await joinRequest(server.nodeToken, { name: 'node-1', keys, password: request.password }),
      }),
      refused('revoked'),
    )
    await admin('node-forget', { name: 'node-1' })
    await assertRefused()
    // Certificates say when they begin in whole seconds.
    server.clock.move(2_000)
    const heir = await joinTestNode(server, 'node-1')
    cleanup.defer(() => heir.client.close())
    await heir.client.call('GET', '/v1/watch')
    await heir.client.call('GET', '/healthz')
    await assertRefused()
  })

  it('as a server is told nothing, named to nobody, followed by nobody, and does not join again', async () => {
    const { path } = cleanup.use(await tempFolder('rv'))
    const tokenFile = join(path, 'token')
    await writeFile(tokenFile, server.serverToken, { mode: 0o600 })
    const config = `server: ${server.url}\ntokenFile: ${tokenFile}`
    const second = cleanup.use(await startTestServer({ name: 'server-2', config }))
    await second.part.link.join(
      await joinRequest(server.nodeToken, { name: 'server-2' }),
      new AbortController().signal,
    )
    await eventually(async () => Object.hasOwn((await server.state()).nodes, 'server-2'))
    const serversTold = async () => {
      const { view } = await server.part.link.watch({}, new AbortController().signal)
      return view?.servers.map(({ name }) => name)
    }
    // The node of the first server, which may ask for what all are told.
    await server.part.link.join(
      await joinRequest(server.nodeToken, { name: 'server-1' }),
      new AbortController().signal,
    )
    assert.deepEqual(await serversTold(), ['server-1', 'server-2'])

    const { authority } = await server.state()
    const issued = testTerms({ notBeforeMs: Date.now() - 600_000 })
    const client = createSupervisorClient({
      url: server.url,
      anchors: [authority.serverCaPem],
      client: await issueClientCertificate(authority.clientCa, 'server-2', issued, { server: true }),
    })
    cleanup.defer(() => client.close())
    await client.call('GET', '/v1/servers/state')
    assert.deepEqual(await admin('node-revoke', { name: 'server-2' }), { name: 'server-2', role: 'server' })
    await assert.rejects(client.call('GET', '/v1/servers/state'), refused('revoked'))
    assert.deepEqual(await serversTold(), ['server-1'])
    await eventually(() => server.log.lines.some(({ message }) => /is followed no more/.test(message)))
    await second.part.admin['token-create']?.({ description: 'of a server that is out' })
    await server.part.admin['token-create']?.({ description: 'later' })
    const descriptions = Object.values((await server.state()).tokens).map(({ description }) => description)
    assert.equal(descriptions.includes('of a server that is out'), false)
    const again = startTestServer({ name: 'server-2', config })
    await assert.rejects(again, refused('name-taken'))
  })

  it('as a server is believed by no node that knows of it, though the CA has signed for it', async () => {
    const { authority } = await server.state()
    const peerId = Object.values((await server.state()).nodes)[0]?.peerId
    assert.ok(peerId)
    const revocation = { name: 'server-1', peerId, revokedMs: Date.now() + 60_000 }
    const anchors = [authority.serverCaPem]
    const trusting = createSupervisorClient({ url: server.url, anchors })
    const knowing = createSupervisorClient({ url: server.url, anchors, revocations: [revocation] })
    cleanup.defer(() => trusting.close())
    cleanup.defer(() => knowing.close())
    const body = await joinRequest(server.nodeToken, { name: 'node-9' })
    await assert.rejects(knowing.call('POST', '/v1/join', { body }), { code: 'SERVER_UNTRUSTED' })
    assert.ok(await trusting.call<JoinAnswer>('POST', '/v1/join', { body }))
  })
})
