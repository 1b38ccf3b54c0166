import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { SealedAnswer } from '../../../lib/supervisor/api.ts'
import { JoinRefusedError } from '../../../lib/trust/join-refusal.ts'
import { openWithToken } from '../../../lib/trust/sealed-state.ts'
import { eventually } from '../../support/eventually.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { joinRequest, joinTestNode, startTestServer, type TestServer } from '../../support/test-supervisor.ts'

const refused = (reason: string) => (error: unknown) => {
  assert(error instanceof JoinRefusedError, String(error))
  assert.equal(error.reason, reason)
  return true
}

describe('several servers', () => {
  let first: TestServer
  let second: TestServer
  const cleanup = new AsyncDisposableStack()
  before(async () => {
    first = cleanup.use(await startTestServer({ name: 'server-1' }))
    second = cleanup.use(await startSecond('server-2', first.serverToken))
  })
  after(() => cleanup.disposeAsync())

  async function startSecond(name: string, token: string): Promise<TestServer> {
    const { path } = cleanup.use(await tempFolder('ss'))
    const file = join(path, 'token')
    await writeFile(file, token, { mode: 0o600 })
    return startTestServer({ name, config: `server: ${first.url}\ntokenFile: ${file}` })
  }

  it('have the same keys, and let nodes in for one another', async () => {
    const [a, b] = [await first.state(), await second.state()]
    assert.deepEqual(b.authority, a.authority)
    assert.equal(second.nodeToken, '')
    const viaSecond = await joinTestNode({ ...second, nodeToken: first.nodeToken }, 'node-1')
    viaSecond.client.close()
    await eventually(async () => Object.hasOwn((await first.state()).nodes, 'node-1'))
    const stranger = await first.stranger()
    const thief = await joinRequest(first.nodeToken, { name: 'node-1' })
    await assert.rejects(stranger.call('POST', '/v1/join', { body: thief }), refused('name-taken'))
    stranger.close()
    assert.deepEqual(
      viaSecond.answer.view.servers.map(({ name }) => name),
      ['server-1', 'server-2'],
    )
  })

  it('forget a token together', async () => {
    const made = await first.part.admin['token-create']?.({ ttlMs: 3_600_000 })
    const { id, token } = made as { id: string; token: string }
    await eventually(async () => (await second.state()).tokens[id]?.secret !== undefined)
    await second.part.admin['token-delete']?.({ id })
    await eventually(async () => (await first.state()).tokens[id]?.secret === undefined)
    const stranger = await first.stranger()
    const body = await joinRequest(token, { name: 'node-2' })
    await assert.rejects(stranger.call('POST', '/v1/join', { body }), refused('token-wrong'))
    stranger.close()
  })

  it('are joined with a server token alone, and what is sent opens with nothing else', async () => {
    await assert.rejects(
      startSecond('server-3', first.nodeToken.replace('::node:', '::server:')),
      refused('token-usage'),
    )
    const asked = await joinRequest(first.serverToken, { name: 'server-9' })
    const body = {
      name: 'server-9',
      token: asked.token,
      password: asked.password,
      urls: ['https://192.0.2.9:9345'],
    }
    const stranger = await first.stranger()
    const join1 = (change: object) =>
      stranger.call<SealedAnswer>('POST', '/v1/servers/join', { body: { ...body, ...change } })
    await assert.rejects(join1({ name: 'server-1' }), refused('name-taken'))
    await assert.rejects(join1({ urls: ['http://192.0.2.9:9345'] }), refused('malformed'))
    await assert.rejects(join1({ urls: [] }), refused('malformed'))
    const { sealed, salt, nonce } = await join1({})
    const bytes = (text: string) => Buffer.from(text, 'base64')
    const at = { salt: bytes(salt), nonce: bytes(nonce) }
    assert.match(Buffer.from(openWithToken(asked.token, bytes(sealed), at)).toString(), /PRIVATE KEY/)
    assert.equal(bytes(sealed).includes('PRIVATE KEY'), false)
    assert.throws(() => openWithToken(`${asked.token}0`, bytes(sealed), at))
    stranger.close()
  })

  it('come to the same state after one of them was away', async () => {
    await second.part.stop()
    const { client } = await joinTestNode(first, 'node-3')
    client.close()
    await first.part.admin['node-forget']?.({ name: 'node-1' })
    const again = cleanup.use(
      await startTestServer({ name: 'server-2', dataDir: second.dataDir, config: '' }),
    )
    await eventually(async () => {
      const [a, b] = [await first.state(), await again.state()]
      const same = (part: 'nodes' | 'tokens' | 'authority') =>
        JSON.stringify(Object.entries(a[part]).sort()) === JSON.stringify(Object.entries(b[part]).sort())
      return same('nodes') && same('tokens') && same('authority') && b.nodes['node-1']?.free === true
    })
  })
})
