import assert from 'node:assert/strict'
import { randomBytes, X509Certificate } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { makeNodeKeys } from '../../../lib/app/supervisor/joined-folder.ts'
import { proveKeys } from '../../../lib/app/supervisor/key-request.ts'
import { anchorsFor } from '../../../lib/app/supervisor/pinning.ts'
import { StarlingError } from '../../../lib/core/errors.ts'
import type { JoinAnswer, JoinRequest } from '../../../lib/supervisor/api.ts'
import { peerIdsNamedBy } from '../../../lib/trust/attestation.ts'
import { makeCertificateKey } from '../../../lib/trust/certificate-key.ts'
import { JoinRefusedError } from '../../../lib/trust/join-refusal.ts'
import { parseJoinToken } from '../../../lib/trust/join-token.ts'
import { makeSigningRequest } from '../../../lib/trust/signing-request.ts'
import { recordingLog } from '../../support/fake-cluster.ts'
import { joinRequest, joinTestNode, startTestServer, type TestServer } from '../../support/test-supervisor.ts'

describe('joining', () => {
  let server: TestServer
  before(async () => {
    server = await startTestServer()
  })
  after(() => server[Symbol.asyncDispose]())

  async function join1(request: object): Promise<JoinAnswer> {
    const client = await server.stranger()
    try {
      return await client.call<JoinAnswer>('POST', '/v1/join', { body: request })
    } finally {
      client.close()
      // Others of this file come from the same address.
      server.clock.move(61_000)
    }
  }
  const refused = (reason: string) => (error: unknown) => {
    assert(error instanceof JoinRefusedError, String(error))
    assert.equal(error.reason, reason)
    return true
  }
  const audits = (reason: string) =>
    server.log.lines.filter(({ fields }) => (fields as { reason?: string }).reason === reason).length

  it('gives a node certificates for its keys, with its names and no others', async () => {
    const { answer, request } = await joinTestNode(server, 'node-a')
    const leaf = new X509Certificate(answer.servingCertificate)
    assert.equal(leaf.checkHost('node-a'), 'node-a')
    assert.ok(leaf.checkIP('127.0.0.1'))
    assert.equal(leaf.checkHost('server-1'), undefined)
    assert.equal(peerIdsNamedBy(leaf).length, 1)
    assert.equal(answer.view.embeddedRegistry, false)
    assert.equal(answer.view.keyring.length, 1)
    assert.deepEqual(
      answer.view.servers.map(({ urls }) => urls),
      [[server.url]],
    )
    const log = JSON.stringify(server.log.lines)
    for (const secret of [request.token, request.password, answer.view.keyring[0] ?? '']) {
      assert.equal(log.includes(secret), false)
    }
    const text = JSON.stringify(await server.state())
    assert.equal(text.includes(request.password) || text.includes(request.token), false)
  })

  it('refuses a token that is wrong, has ended or was deleted', async () => {
    const wrong = parseJoinToken(server.nodeToken)
    const other = `${wrong.id}.${'0'.repeat(40)}`
    await assert.rejects(join1(await joinRequest(other, { name: 'x1' })), refused('token-wrong'))
    await assert.rejects(join1(await joinRequest(`zzzzzzzz.${'0'.repeat(40)}`)), refused('token-wrong'))
    const make = async (ttlMs: number) =>
      (await server.part.admin['token-create']?.({ usage: 'node', ttlMs })) as { id: string; token: string }
    const short = await make(60_000)
    await join1(await joinRequest(short.token, { name: 'in-time' }))
    await assert.rejects(join1(await joinRequest(short.token, { name: 'late' })), refused('token-expired'))
    const deleted = await make(3_600_000)
    await server.part.admin['token-delete']?.({ id: deleted.id })
    await assert.rejects(join1(await joinRequest(deleted.token, { name: 'x2' })), refused('token-wrong'))
    assert.ok(audits('token-wrong') >= 3 && audits('token-expired') === 1)
  })

  it('keeps a name for the machine that had it first, until it is set free', async () => {
    const { request } = await joinTestNode(server, 'node-b')
    const thief = await joinRequest(server.nodeToken, { name: 'node-b' })
    await assert.rejects(join1(thief), refused('name-taken'))
    const replayed = { ...request, password: thief.password }
    await assert.rejects(join1(replayed), refused('name-taken'))
    await join1(request)
    await server.part.admin['node-forget']?.({ name: 'node-b' })
    await join1(thief)
    await assert.rejects(join1(request), refused('name-taken'))
  })

  it('gives nobody a name that people know a server by', async () => {
    await using named = await startTestServer({ names: ['starling.test'] })
    const client = await named.stranger()
    const body = await joinRequest(named.nodeToken, { name: 'starling.test' })
    await assert.rejects(client.call('POST', '/v1/join', { body }), refused('name-taken'))
    client.close()
  })

  it('refuses requests with foreign names, weak keys and garbage, and proofs of other identities', async () => {
    const keys = makeNodeKeys()
    const proof = await proveKeys(keys, 'node-c')
    const resign = async (servingRequest: string): Promise<Partial<JoinRequest>> => {
      const { proveRequests } = await import('../../../lib/trust/key-proof.ts')
      const { readIdentity } = await import('../../../lib/trust/identity.ts')
      const { privateKey } = readIdentity(keys.identityPem)
      const requests = { nodeName: 'node-c', servingRequest, clientRequest: proof.clientRequest }
      return { ...proof, servingRequest, signature: proveRequests(requests, privateKey) }
    }
    const attempt = async (change: Partial<JoinRequest>) =>
      join1(await joinRequest(server.nodeToken, { name: 'node-c', keys, ...change }))
    const serving = await makeSigningRequest(makeCertificateKey(), 'node-c', ['dns:server-1'])
    await assert.rejects(attempt(await resign(serving)), refused('request-names'))
    await assert.rejects(attempt(await resign('garbage')), refused('request-malformed'))
    await assert.rejects(attempt({ signature: randomBytes(64).toString('base64') }), refused('identity'))
    await assert.rejects(attempt({ publicKey: randomBytes(31).toString('base64') }), refused('identity'))
    await assert.rejects(
      attempt({ ...(await proveKeys(keys, 'node-d')), name: 'node-c' }),
      refused('identity'),
    )
    await assert.rejects(attempt({ addresses: ['0.0.0.0'] }), refused('malformed'))
    await assert.rejects(attempt({ addresses: ['node-9'] }), refused('malformed'))
    await assert.rejects(attempt({ p2p: ['224.0.0.1:5001'] }), refused('malformed'))
    assert.equal(Object.hasOwn((await server.state()).nodes, 'node-c'), false)
  })

  it('makes who fails often wait, before a secret is looked at', async () => {
    const client = await server.stranger()
    const bad = await joinRequest(`zzzzzzzz.${'0'.repeat(40)}`)
    const reasons: string[] = []
    for (let index = 0; index < 12; index += 1) {
      await client.call('POST', '/v1/join', { body: bad }).catch((error) => reasons.push(error.reason))
    }
    client.close()
    assert.deepEqual(reasons.slice(0, 10), Array(10).fill('token-wrong'))
    assert.deepEqual(reasons.slice(10), ['rate', 'rate'])
    server.clock.move(61_000)
  })

  it('believes a server by the hash in the token, and sends nothing to another one', async () => {
    const at = { log: recordingLog(), signal: new AbortController().signal }
    const anchors = await anchorsFor(server.url, parseJoinToken(server.nodeToken), at)
    assert.equal(anchors.length, 1)
    await using foreign = await startTestServer({ name: 'server-9' })
    const untrusted = (error: unknown) => error instanceof StarlingError && error.code === 'SERVER_UNTRUSTED'
    await assert.rejects(anchorsFor(foreign.url, parseJoinToken(server.nodeToken), at), untrusted)
    assert.equal(at.log.lines.length, 0)
    const bare = parseJoinToken(server.nodeToken.split('::node:')[1] ?? '')
    await anchorsFor(server.url, bare, at)
    assert.match(at.log.lines[0]?.message ?? '', /NAMES NO ROOT/)
    assert.equal(foreign.metrics.total('starling_supervisor_requests_total', '"join"'), 0)
  })

  it('renews for who shows a certificate and the same identity', async () => {
    await using own = await startTestServer()
    const { client, keys } = await joinTestNode(own, 'node-e')
    const reach = { addresses: ['192.0.2.7'], p2p: ['192.0.2.7:5001'] }
    const body = { ...(await proveKeys(keys, 'node-e')), ...reach }
    const answer = await client.call<JoinAnswer>('POST', '/v1/renew', { body })
    assert.ok(new X509Certificate(answer.servingCertificate).checkIP('192.0.2.7'))
    assert.deepEqual((await own.state()).nodes['node-e']?.p2p, ['192.0.2.7:5001'])
    const other = { ...(await proveKeys(makeNodeKeys(), 'node-e')), ...reach }
    await assert.rejects(client.call('POST', '/v1/renew', { body: other }), refused('identity'))
    await own.part.admin['node-forget']?.({ name: 'node-e' })
    await assert.rejects(client.call('POST', '/v1/renew', { body }), refused('unknown-node'))
    await assert.rejects(client.call('GET', '/v1/watch'), refused('unknown-node'))
    client.close()
  })

  it('keeps its files for its owner alone', async () => {
    const folder = join(server.dataDir, 'server')
    assert.equal((await stat(folder)).mode & 0o777, 0o700)
    for (const file of await readdir(folder)) {
      assert.equal((await stat(join(folder, file))).mode & 0o777, 0o600, file)
    }
  })
})
