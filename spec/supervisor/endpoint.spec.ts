import assert from 'node:assert/strict'
import { request as httpsRequest } from 'node:https'
import { after, before, describe, it } from 'node:test'
import { connect as tlsConnect } from 'node:tls'
import { Ajv2020 } from 'ajv/dist/2020.js'
import type { KeyPair } from '../../lib/core/credentials.ts'
import { createSupervisorClient } from '../../lib/supervisor/client.ts'
import { supervisorOpenApi, supervisorRoutes } from '../../lib/supervisor/openapi.ts'
import { supervisorSchemas } from '../../lib/supervisor/schemas.ts'
import { issueClientCertificate, issueServingCertificate } from '../../lib/trust/certificates.ts'
import { joinRequest, joinTestNode, startTestServer, type TestServer } from '../support/test-supervisor.ts'
import { makeTestAuthority, testTerms } from '../support/test-trust.ts'

const day = 86_400_000

describe('the endpoint of a server', () => {
  let server: TestServer
  before(async () => {
    server = await startTestServer({ config: 'supervisor-metrics: true' })
  })
  after(() => server[Symbol.asyncDispose]())

  /** One request as it is, with whatever path. */
  async function raw(
    path: string,
    options: { client?: KeyPair; method?: string; body?: Buffer; headers?: Record<string, string> } = {},
  ): Promise<{ status: number; body: string }> {
    const { client, method = 'GET', body, headers = {} } = options
    const length = body === undefined ? {} : { 'content-length': String(body.length) }
    return new Promise((resolve, reject) => {
      const outgoing = httpsRequest(
        {
          host: server.address,
          port: 9345,
          path,
          method,
          agent: false,
          rejectUnauthorized: false,
          headers: { ...length, ...headers },
          ...(client === undefined ? {} : { cert: client.certPem, key: client.keyPem }),
        },
        (incoming) => {
          let text = ''
          incoming.setEncoding('utf8')
          incoming.on('data', (chunk: string) => {
            text += chunk
          })
          incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, body: text }))
          incoming.on('error', reject)
        },
      )
      outgoing.on('error', reject)
      outgoing.end(body)
    })
  }
  const member = async (name: string): Promise<KeyPair> => {
    const { answer, keys, client } = await joinTestNode(server, name)
    client.close()
    return { certPem: answer.clientCertificate, keyPem: keys.clientKeyPem }
  }

  it('gives strangers the CA certificates and nothing else', async () => {
    const bundle = await raw('/cacerts')
    assert.deepEqual([bundle.status, bundle.body], [200, await server.caPem()])
    for (const path of [
      '/',
      '/healthz',
      '/readyz',
      '/metrics',
      '/v1/openapi.json',
      '/v1/watch',
      '/v1/servers/state',
      '/v1/nothing',
      '//cacerts',
      '/cacerts/',
      '/cacerts/../v1/watch',
      '/cacerts/..%2fv1/watch',
      '/%63acerts/%2e%2e/v1/servers/state',
      '/..%00/v1/watch',
      '/v1/watch?seen=%00',
      '/cacerts;/v1/watch',
      `/${'a'.repeat(1900)}`,
    ]) {
      assert.equal((await raw(path)).status, 401, path)
    }
    assert.equal((await raw(`/${'a'.repeat(4000)}`)).status, 414)
    assert.equal((await raw('/%ff%fe%')).status, 401)
    assert.equal((await raw('/cacerts', { method: 'DELETE' })).status, 401)
  })

  it('answers members, and tells only servers what servers may know', async () => {
    const client = await member('node-1')
    assert.deepEqual(await raw('/healthz', { client }), { status: 200, body: '{"healthy":true}' })
    assert.equal((await raw('/metrics', { client })).body, 'starling_members 1\n')
    assert.equal((await raw('/v1/servers/state', { client })).status, 403)
    assert.equal((await raw('/v1/../v1/servers/state', { client })).status, 404)
    assert.equal((await raw('/v1/nothing', { client })).status, 404)
  })

  it('refuses certificates of another CA, of another kind, and those that are not valid now', async () => {
    const { authority } = await server.state()
    const foreign = await makeTestAuthority()
    const issue = (ca: KeyPair, terms = testTerms()) => issueClientCertificate(ca, 'node-1', terms)
    const serving = await issueServingCertificate(
      authority.clientCa,
      { nodeName: 'node-1', addresses: [], peerId: undefined },
      testTerms(),
    )
    for (const [what, client] of [
      ['another CA', await issue(foreign.clientCa)],
      ['the server CA', await issue(authority.serverCa)],
      ['expired', await issue(authority.clientCa, testTerms({ notAfterMs: Date.now() - 1000 }))],
      ['not valid yet', await issue(authority.clientCa, testTerms({ notBeforeMs: Date.now() + day / 2 }))],
      ['not for clients', serving],
    ] as const) {
      assert.equal((await raw('/healthz', { client })).status, 401, what)
      assert.equal((await raw('/v1/watch', { client })).status, 401, what)
    }
    assert.equal((await raw('/healthz', { client: await issue(authority.clientCa) })).status, 200)
  })

  it('reads no body beyond its bounds, and refuses garbage', async () => {
    const json = { 'content-type': 'application/json' }
    const post = (body: Buffer, headers: Record<string, string> = json) =>
      raw('/v1/join', { method: 'POST', body, headers }).then(
        ({ status }) => status,
        () => 413,
      )
    assert.equal(await post(Buffer.alloc(10 * 2 ** 20, 0x20)), 413)
    assert.equal(await post(Buffer.from('{"name":')), 400)
    assert.equal(await post(Buffer.from('[]')), 400)
    assert.equal(await post(Buffer.alloc(0)), 400)
    assert.equal(await post(Buffer.from('x'), { 'content-type': 'application/xml' }), 415)
    const good = await joinRequest(server.nodeToken)
    const wrong = [
      { ...good, extra: 1 },
      { ...good, name: '../x' },
      { ...good, name: 7 },
      { ...good, addresses: Array(17).fill('192.0.2.1') },
      { ...good, password: 'short' },
      { ...good, servingRequest: 'x'.repeat(10_001) },
      { ...good, __proto__: null, name: undefined },
    ]
    for (const body of wrong) {
      assert.equal(await post(Buffer.from(JSON.stringify(body))), 400, Object.keys(body).join())
    }
    assert.equal(await post(Buffer.from(`{"__proto__":{"name":"x"},${JSON.stringify(good).slice(1)}`)), 400)
  })

  it('speaks no TLS older than 1.2', async () => {
    const outcome = await new Promise<string>((resolve) => {
      const socket = tlsConnect({
        host: server.address,
        port: 9345,
        minVersion: 'TLSv1',
        maxVersion: 'TLSv1.1',
        ciphers: 'DEFAULT@SECLEVEL=0',
        rejectUnauthorized: false,
      })
      socket.once('secureConnect', () => resolve('connected'))
      socket.once('error', () => resolve('refused'))
    })
    assert.equal(outcome, 'refused')
  })

  it('can be posed as by no node, though its certificate is of the same CA', async () => {
    const { authority } = await server.state()
    const subject = { nodeName: 'node-1', addresses: [server.address], peerId: undefined }
    const { createServer } = await import('node:https')
    const { certPem, keyPem } = await issueServingCertificate(authority.serverCa, subject, testTerms())
    const impostor = createServer({ cert: certPem, key: keyPem }, (_request, reply) => reply.end('{}'))
    await new Promise<void>((resolve) => impostor.listen(0, '127.0.0.1', resolve))
    const { port } = impostor.address() as { port: number }
    const client = createSupervisorClient({
      url: `https://127.0.0.1:${port}`,
      anchors: [authority.serverCaPem],
    })
    await assert.rejects(client.call('POST', '/v1/join', { body: {} }), { code: 'SERVER_UNTRUSTED' })
    client.close()
    impostor.close()
  })

  it('does what its OpenAPI document says, and nothing that it does not', async () => {
    const client = await member('node-2')
    const { body } = await raw('/v1/openapi.json', { client })
    const document = JSON.parse(body) as ReturnType<typeof supervisorOpenApi> & {
      paths: Record<string, Record<string, unknown>>
    }
    assert.deepEqual(document, JSON.parse(JSON.stringify(supervisorOpenApi())))
    const routes = Object.values(supervisorRoutes)
    assert.deepEqual(Object.keys(document.paths).sort(), routes.map(({ path }) => path).sort())
    const ajv = new Ajv2020({ strict: false })
    const check = (schema: keyof typeof supervisorSchemas, text: string) => {
      const validate = ajv.compile(supervisorSchemas[schema])
      assert.ok(validate(JSON.parse(text)), `${schema}: ${JSON.stringify(validate.errors)} ${text}`)
    }
    for (const [path, operations] of Object.entries(document.paths)) {
      for (const method of ['get', 'post', 'put', 'delete', 'patch']) {
        const { status, body: text } = await raw(path, { client, method: method.toUpperCase() })
        const isThere = method in operations
        assert.equal(status === 404, !isThere, `${method} ${path} ${status} ${text}`)
        if (status >= 400) check('Failure', text)
      }
    }
    check('WatchAnswer', (await raw('/v1/watch', { client })).body)
    check('Ready', (await raw('/readyz', { client })).body)
    check('Healthy', (await raw('/healthz', { client })).body)
    const joined = await joinTestNode(server, 'node-3')
    joined.client.close()
    check('JoinAnswer', JSON.stringify(joined.answer))
    const { authority } = await server.state()
    const other = await issueClientCertificate(authority.clientCa, 'server-1', testTerms(), { server: true })
    check('StateAnswer', (await raw('/v1/servers/state', { client: other })).body)
    const asked = await joinRequest(server.serverToken, { name: 'server-2' })
    const { name, token, password } = asked
    const sealed = await raw('/v1/servers/join', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: Buffer.from(JSON.stringify({ name, token, password, urls: ['https://192.0.2.1:9345'] })),
    })
    assert.equal(sealed.status, 200)
    check('SealedAnswer', sealed.body)
  })
})
