import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { checkNode } from '../../../lib/app/check/check.ts'
import { serverFacts, serverPortFacts } from '../../../lib/app/check/server-facts.ts'
import { parseConfig } from '../../../lib/config/config-file.ts'
import { StarlingError } from '../../../lib/core/errors.ts'
import type { StatusView } from '../../../lib/core/ops-view.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const host = '127.0.13.9'

async function withPort(body: (port: number, close: () => Promise<void>) => Promise<void>): Promise<void> {
  const server = createServer().listen(0, host)
  await once(server, 'listening')
  try {
    await body((server.address() as AddressInfo).port, async () => {
      server.close()
      await once(server, 'close')
    })
  } finally {
    server.close()
  }
}

const quietNode = {
  status: () => Promise.reject(new StarlingError('OPS_UNAVAILABLE', 'there is no such socket')),
  peers: async () => [],
  metrics: async () => '',
}

const node = (role: string) => ({ status: { role } as unknown as StatusView })

describe('what the check finds of servers', () => {
  it('the port of a server is its own while it runs, and must be free for one that does not', () =>
    withPort(async (port, close) => {
      await using folder = await tempFolder('sf')
      const text = `dataDir: ${folder.path}\nsupervisor:\n  listen: ${host}:${port}\n`
      const config = parseConfig(text, 'c.yaml', { hostname: 'h' })
      const found = async (running?: ReturnType<typeof node>) =>
        (await serverPortFacts(config, running)).map(({ own, bindError, nodeRuns }) => [
          own,
          bindError,
          nodeRuns,
        ])
      assert.deepEqual(await found(node('server')), [[true, undefined, true]])
      assert.deepEqual(await found(node('agent')), [])
      assert.deepEqual(await found(), [], 'never was a server')
      await mkdir(join(folder.path, 'server'))
      assert.deepEqual(await found(), [[false, 'EADDRINUSE', false]])
      await close()
      assert.deepEqual(await found(), [[false, undefined, false]])
      assert.deepEqual(await found(node('server')), [[false, undefined, true]])
    }))

  it('a node that has not joined yet has no certificates, which is no mistake, and needs no bootstrap', () =>
    withPort(async (port) => {
      await using folder = await tempFolder('sf')
      const files = `registries: ${folder.path}/r.yaml\nstore: {type: oci-layout, path: ${folder.path}}\n`
      // The usual ports may be those of other tests.
      const ports = `registry: {listen: "${host}:0"}\np2p: {listen: "${host}:0"}\n`
      const text = `dataDir: ${folder.path}\nserver: https://${host}:${port}\n${files}${ports}`
      const config = parseConfig(text, 'c.yaml', { hostname: 'h' })
      const lines = await checkNode(config, { nowMs: Date.now(), ops: quietNode })
      const said = (what: string) => lines.filter((line) => line.what === what).map(({ verdict }) => verdict)
      assert.deepEqual(said('certificates'), ['warning'])
      assert.deepEqual(said('servers'), ['ok'])
      assert.deepEqual(said('other nodes'), [])
    }))

  it('the servers of a node are those of its configuration and those that it has learnt of', () =>
    withPort(async (port, close) => {
      await using folder = await tempFolder('sf')
      const config = (more: string) =>
        parseConfig(`dataDir: ${folder.path}\n${more}`, 'c.yaml', { hostname: 'h' })
      assert.equal(await serverFacts(config('')), undefined)
      const joins = config(`server: https://${host}:${port}\n`)
      assert.deepEqual(await serverFacts(joins), [{ address: `https://${host}:${port}`, problem: undefined }])
      await close()
      const other = `https://${host}:1`
      const memory = { revision: 'r', servers: [{ name: 's', urls: [other] }], revocations: [], peers: [] }
      await writeFile(join(folder.path, 'cluster.json'), JSON.stringify(memory))
      assert.deepEqual(await serverFacts(joins), [
        { address: other, problem: `${host}:1 refuses connections` },
        { address: `https://${host}:${port}`, problem: `${host}:${port} refuses connections` },
      ])
    }))
})
