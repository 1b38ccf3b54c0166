import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { parseConfig, StarlingError, startNode } from '../../lib/index.ts'
import { eventually } from '../support/eventually.ts'
import { recordingLog } from '../support/fake-cluster.ts'
import { makeTestCluster, writeTestCredentials } from '../support/test-trust.ts'

describe('embedding', () => {
  let dir = ''
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'starling-embed-'))
    const credentials = (await makeTestCluster({ nodes: [{ name: 'node-1' }] })).get('node-1')
    assert.ok(credentials)
    await writeTestCredentials(join(dir, 'trust'), credentials)
  })
  afterEach(() => rm(dir, { recursive: true, force: true }))

  function configFor(port: number) {
    const text = `
node: {name: node-1}
dataDir: data
registries: registries.yaml
registry: {listen: '127.0.13.1:${port}'}
p2p: {listen: '127.0.13.1:${port + 1}'}
store: {type: oci-layout, path: store}
trust: {dir: trust}
ops: {socket: ops.sock}
`
    return parseConfig(text, join(dir, 'config.yaml'), { hostname: 'node-1', folder: dir })
  }

  it('starts a node that opens no port while nothing is mirrored, and says why', async () => {
    const log = recordingLog()
    const node = await startNode(configFor(23_100), log)
    try {
      const status = node.view.status()
      assert.equal(status.sharing.active, false)
      assert.match(status.sharing.reason, /names no registry under mirrors/)
      assert.deepEqual([status.registryListen, status.p2pListen], [[], []])
      assert.equal(log.lines.filter((line) => /no registry is mirrored/.test(line.message)).length, 1)
      assert.equal(node.view.ready().ready, true)
    } finally {
      await node.stop()
    }
  })

  it('opens its ports when the file names a registry, and closes them when it does no more', async () => {
    const node = await startNode(configFor(23_110), recordingLog())
    try {
      await writeFile(join(dir, 'registries.yaml'), 'mirrors:\n  docker.io:\n')
      await eventually(() => node.view.status().sharing.active)
      assert.deepEqual(node.view.status().registryListen, ['127.0.13.1:23110'])
      assert.equal(node.view.peers().length, 1)
      await writeFile(join(dir, 'registries.yaml'), 'mirrors: {}\n')
      await eventually(() => !node.view.status().sharing.active)
      assert.deepEqual(node.view.status().p2pListen, [])
    } finally {
      await node.stop()
    }
  })

  it('refuses a data directory that a running node uses, and lets go of everything at the end', async () => {
    const config = configFor(23_120)
    const node = await startNode(config, recordingLog())
    await assert.rejects(
      startNode(config, recordingLog()),
      (error) => error instanceof StarlingError && error.code === 'DATA_DIR_LOCKED',
    )
    await node.stop()
    await node.stop()
    const again = await startNode(config, recordingLog())
    await again.stop()
  })

  it('opens nothing where a trust file is missing', async () => {
    await rm(join(dir, 'trust', 'psk'))
    await assert.rejects(
      startNode(configFor(23_130), recordingLog()),
      (error) => error instanceof StarlingError && /psk/.test(error.format()),
    )
  })
})
