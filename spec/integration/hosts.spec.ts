import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { configureHosts } from '../../lib/app/config/configure.ts'
import { initTrust } from '../../lib/app/trust/init.ts'
import { parseConfig } from '../../lib/config/config-file.ts'
import { parseRegistries } from '../../lib/config/registries-file.ts'
import { startContainerd, type TestContainerd } from '../support/containerd.ts'
import { buildImage, type TestImage } from '../support/oci-image.ts'
import { type TempFolder, tempFolder } from '../support/temp-folder.ts'
import { skipLab } from './containerd-lab.ts'
import { type ScriptedRegistry, type SeenRequest, startScriptedRegistry } from './scripted-registry.ts'

describe('a real containerd reads what configure writes', { skip: skipLab }, () => {
  let folder: TempFolder
  let containerd: TestContainerd
  let image: TestImage
  let certsDir = ''
  const seen: SeenRequest[] = []
  const running: ScriptedRegistry[] = []
  let upstream: ScriptedRegistry

  before(async () => {
    folder = await tempFolder('hosts')
    certsDir = join(folder.path, 'certs.d')
    await mkdir(certsDir)
    await initTrust({ dir: join(folder.path, 'trust'), nodes: [{ name: 'h', addresses: ['127.0.0.1'] }] })
    containerd = await startContainerd({ dir: join(folder.path, 'cd'), certsDir })
    image = await buildImage({ seed: 'hosts', layers: [{ sizeBytes: 1000 }] })
    upstream = await start('upstream')
  })
  after(async () => {
    await containerd?.kill()
    for (const registry of running) await registry[Symbol.asyncDispose]()
    await folder?.[Symbol.asyncDispose]()
  })

  async function start(of: string): Promise<ScriptedRegistry> {
    const registry = await startScriptedRegistry(of, image, seen)
    running.push(registry)
    return registry
  }

  async function configure(registries: string, more = ''): Promise<void> {
    const text = `trust: {dir: trust/h}\ncertsDir: certs.d\nregistry: {listen: "127.0.0.1:1"}\n${more}`
    const config = parseConfig(text, 'c.yaml', { hostname: 'h', folder: folder.path })
    await configureHosts({ config, registries: parseRegistries(registries, 'r.yaml') })
  }

  const pull = (name: string) => containerd.ctr('content', 'fetch', '--hosts-dir', certsDir, name)
  const askedOf = (of: string) => seen.filter((request) => request.of === of)
  const upstreamHost = () => new URL(upstream.url).host

  it('asks the endpoint, and the registry itself where the endpoint is gone', async () => {
    const mirror = await start('mirror')
    await configure(`mirrors:\n  "${upstreamHost()}":\n    endpoint: ["${mirror.url}"]\n`)
    await pull(`${upstreamHost()}/team/app:1`)
    assert.ok(askedOf('mirror').length > 0)
    assert.equal(askedOf('upstream').length, 0)
    await mirror[Symbol.asyncDispose]()
    await pull(`${upstreamHost()}/team/again:1`)
    assert.ok(askedOf('upstream').length > 0)
  })

  it('never asks the registry where the default is disabled, and fails cleanly', async () => {
    const gone = 'http://127.0.0.1:9'
    seen.length = 0
    await configure(
      `mirrors:\n  "${upstreamHost()}":\n    endpoint: ["${gone}"]\n`,
      'disable-default-registry-endpoint: true\n',
    )
    await assert.rejects(pull(`${upstreamHost()}/team/never:1`), /connection refused/)
    assert.deepEqual(askedOf('upstream'), [])
  })

  it('asks with the prefix of a rewrite, and with the password of the endpoint', async () => {
    const asked: string[] = []
    const credentials = Buffer.from('me:s"cr\\et').toString('base64')
    const server = createServer((request, response) => {
      asked.push(`${request.url?.split('?')[0]} ${request.headers.authorization}`)
      response.writeHead(404).end()
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const registries = `mirrors:
  made-up.test:
    endpoint: ["http://127.0.0.1:${port}"]
    rewrite: {"^(.*)$": "cache/hub/$1"}
configs:
  "127.0.0.1:${port}": {auth: {username: me, password: 's"cr\\et'}}
`
    await configure(registries, 'disable-default-endpoint: true\n')
    await assert.rejects(pull('made-up.test/team/app:1'))
    server.close()
    assert.equal(asked[0], `/v2/cache/hub/team/app/manifests/1 Basic ${credentials}`)
  })
})
