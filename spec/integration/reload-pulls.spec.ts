import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { parse, stringify } from 'yaml'
import { openAuthority } from '../../lib/app/trust/authority.ts'
import type { StatusView } from '../../lib/core/ops-view.ts'
import {
  issueClientCertificate,
  issueServingCertificate,
  serialSizeBytes,
} from '../../lib/trust/certificates.ts'
import { readIdentity } from '../../lib/trust/identity.ts'
import { builtBin } from '../support/built.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { putImage } from '../support/cluster/put-image.ts'
import { type Fetched, type FetchOptions, fetchRegistry } from '../support/cluster/registry-client.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { buildImage, type PlatformImage } from '../support/oci-image.ts'
import { addressOf, Puller, registry, waits } from './reload-puller.ts'

/** On a busy machine nothing comes for seconds: that alone ends no body here. */
const stallTimeout = '20s'

async function put(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text, { mode: 0o600 })
  await rename(`${file}.new`, file)
}

const statusOf = (node: ClusterNode) => node.ops<StatusView>('status')

/** Changes keys of a node's config.yaml and has them read at once. */
async function change(node: ClusterNode, keys: object): Promise<void> {
  const config = parse(await readFile(node.configFile, 'utf8')) as object
  await put(node.configFile, stringify({ ...config, ...keys }))
  process.kill(node.pid ?? 0, 'SIGHUP')
}

describe('changes under constant pulls', () => {
  let cluster: Cluster
  let large: PlatformImage
  let puller: Puller
  let node: ClusterNode
  /** A transfer that began before every change and ends after all of them. */
  let slow: Promise<Fetched>
  const { promise: released, resolve: release } = Promise.withResolvers<void>()

  before(async () => {
    cluster = await createCluster({
      nodes: 2,
      mirrors: [registry],
      bin: await builtBin(),
      configure: (config) => ({
        ...config,
        manageHosts: true,
        shutdownGrace: '10s',
        registry: { ...(config.registry as object), stallTimeout },
      }),
    })
    node = cluster.node(1)
    const image = await buildImage({
      seed: 'reload',
      layers: [{ sizeBytes: 3_000_000 }, { sizeBytes: 300_000 }],
    })
    await putImage(cluster.node(0), `${registry}/team/app:1`, image)
    large = await buildImage({ seed: 'large', layers: [{ sizeBytes: 48_000_000 }] })
    await putImage(cluster.node(0), `${registry}/team/large:1`, large)
    const [layer] = large.layers
    await eventually(
      async () => (await node.fetch(`/v2/team/large/manifests/1?ns=${registry}`)).status === 200,
      waits,
    )
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
    slow = node.fetch(`/v2/team/large/blobs/${layer?.digest}?ns=${registry}`, {
      timeoutMs: 120_000,
      onBytes: async () => {
        begin()
        await released
      },
    })
    slow.catch(() => {})
    await begun
    await eventually(() => addressOf(node), { ...waits, what: 'hosts.toml' })
    puller = new Puller(node, await node.clientTls(), image)
  })
  after(async () => {
    release()
    await puller?.end()
    await cluster?.dispose()
  })

  it('registries come and go', async () => {
    for (const names of [['pull.test', 'two.test'], ['pull.test', '"*"'], ['pull.test']]) {
      await put(node.registriesFile, `mirrors:\n${names.map((name) => `  ${name}:\n`).join('')}`)
      process.kill(node.pid ?? 0, 'SIGHUP')
      const last = names.at(-1)?.replaceAll('"', '') ?? ''
      const folder = last === '*' ? '_default' : last
      await eventually(async () => {
        const files = await Promise.all(
          ['pull.test', 'two.test', '_default'].map((name) =>
            readFile(join(node.dir, 'certs.d', name, 'hosts.toml'), 'utf8').then(
              () => name,
              () => '',
            ),
          ),
        )
        return files.includes(folder) && files.filter((name) => name !== '').length === names.length
      }, waits)
      await puller.goesOn()
    }
  })

  it('certificates are replaced', async () => {
    const dir = node.trustDir
    const text = (name: string) => readFile(join(dir, name), 'utf8')
    const { peerId } = readIdentity(await text('identity.key'))
    const nowMs = Date.now()
    const times = { notBeforeMs: nowMs - 60_000, notAfterMs: nowMs + 3_600_000 }
    const { authority } = await openAuthority(cluster.trustDir, { nowMs, ...times })
    const terms = () => ({ ...times, serial: randomBytes(serialSizeBytes) })
    const subject = { nodeName: node.name, addresses: [node.address], peerId }
    const serving = await issueServingCertificate(authority.serverCa, subject, terms())
    const client = await issueClientCertificate(authority.clientCa, node.name, terms())
    const reloads = (await node.metric('starling_reloads_total')) ?? 0
    await put(join(dir, 'serving.crt'), serving.certPem)
    await put(join(dir, 'serving.key'), serving.keyPem)
    await put(join(dir, 'client.crt'), client.certPem)
    await put(join(dir, 'client.key'), client.keyPem)
    process.kill(node.pid ?? 0, 'SIGHUP')
    await eventually(async () => ((await node.metric('starling_reloads_total')) ?? 0) > reloads, waits)
    await eventually(
      () => node.logs().some((line) => line.msg === 'the registry uses new credentials'),
      waits,
    )
    await puller.goesOn()
    puller.tls = await node.clientTls()
    await puller.goesOn()
  })

  it('the registry API moves, and gets more threads', async () => {
    const moved = `${node.address}:7443`
    await change(node, { registry: { listen: moved, stallTimeout } })
    await eventually(async () => (await statusOf(node)).registryListen.includes(moved), waits)
    // A pull that is under way goes on at the old address.
    await puller.goesOn()
    await eventually(async () => (await addressOf(node)).includes(moved), waits)
    await puller.goesOn()
    const threads = () => node.logs().filter((line) => line.msg === 'the registry API is served').length
    const before = threads()
    await change(node, { registry: { listen: moved, stallTimeout, workers: 3 } })
    await eventually(() => threads() > before, waits)
    await puller.goesOn()
  })

  it('the part that talks to the other nodes begins anew', async () => {
    const { pid } = node
    const restarts = () => node.logs().filter((line) => /restart of the sharing part/.test(line.msg)).length
    for (const keys of [
      { auditInterval: '4m' },
      { p2p: { listen: `${node.address}:5002` } },
      { bootstrap: [`${cluster.node(0).address}:5001`, `${cluster.node(0).address}:5009`] },
      { excludeReferences: [':never$'] },
    ]) {
      const before = restarts()
      await change(node, keys)
      await eventually(() => restarts() > before, waits)
      await eventually(async () => (await statusOf(node)).sharing.active, waits)
      await puller.goesOn()
    }
    assert.equal(node.pid, pid)
  })

  it('the part that talks to the other nodes cannot begin', async () => {
    const taken = createServer()
    taken.listen({ host: node.address, port: 5044 })
    await once(taken, 'listening')
    const problems = async () => (await statusOf(node)).problems.filter((line) => line.includes('5044'))
    await change(node, { p2p: { listen: `${node.address}:5044` } })
    await eventually(async () => (await problems()).length > 0, waits)
    assert.deepEqual((await statusOf(node)).registryListen, [`${node.address}:7443`])
    await puller.goesOn()
    await change(node, { p2p: { listen: `${node.address}:5045` } })
    await eventually(async () => (await statusOf(node)).sharing.active, waits)
    await eventually(async () => (await statusOf(node)).members.alive === 2, waits)
    assert.deepEqual(await problems(), [])
    await puller.goesOn()
    taken.close()
  })

  it('the store is another folder', async () => {
    const get = async (path: string, options: FetchOptions = {}) =>
      fetchRegistry(
        new URL(`/v2/team/${path}?ns=${registry}`, await addressOf(node)),
        await node.clientTls(),
        options,
      )
    const isAnswered = (name: string) => async () => (await get(`${name}/manifests/1`)).status === 200
    const before = await buildImage({ seed: 'before', layers: [{ sizeBytes: 24_000_000 }] })
    await putImage(node, `${registry}/team/before:1`, before)
    await eventually(isAnswered('before'), waits)
    const { promise: ended, resolve: end } = Promise.withResolvers<void>()
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
    const [layer] = before.layers
    const held = get(`before/blobs/${layer?.digest}`, {
      timeoutMs: 120_000,
      onBytes: async () => {
        begin()
        await ended
      },
    })
    held.catch(() => {})
    await begun
    const second = { dir: join(node.dir, 'second') }
    const after = await buildImage({ seed: 'after', layers: [{ sizeBytes: 400_000 }] })
    await putImage(second, `${registry}/team/after:1`, after)
    await change(node, { store: { type: 'oci-layout', path: join(second.dir, 'oci') } })
    await eventually(isAnswered('after'), { ...waits, what: 'an image of the new store' })
    const blob = await get(`after/blobs/${after.layers[0]?.digest}`)
    assert.deepEqual([blob.status, blob.digest], [200, after.layers[0]?.digest])
    await eventually(async () => (await get('before/manifests/1')).status === 404, {
      ...waits,
      what: 'the end of the old store',
    })
    await eventually(
      async () => (await cluster.node(0).fetch(`/v2/team/after/manifests/1?ns=${registry}`)).status === 200,
      { ...waits, what: 'the new store on another node' },
    )
    await puller.goesOn()
    end()
    const { digest, end: how } = await held
    assert.deepEqual([digest, how], [layer?.digest, 'complete'])
  })

  it('the part of a node that gives begins anew', async () => {
    const giver = cluster.node(0)
    const restarts = () => giver.logs().filter((line) => /restart of the sharing part/.test(line.msg)).length
    for (const keys of [{ auditInterval: '4m' }, { p2p: { listen: `${giver.address}:5003` } }]) {
      const before = restarts()
      await change(giver, keys)
      await eventually(() => restarts() > before, waits)
      await eventually(async () => (await statusOf(giver)).sharing.active, waits)
      await eventually(async () => (await statusOf(giver)).members.alive === 2, waits)
      await puller.goesOn()
    }
  })

  it('a transfer that began before all of it ends whole', async () => {
    release()
    const { digest, end } = await slow
    assert.deepEqual([digest, end], [large.layers[0]?.digest, 'complete'])
    await puller.end()
    assert.deepEqual(puller.failures.slice(0, 3), [])
  })

  it('the address that it had at first is closed in the end', async () => {
    const ask = () => node.fetch('/v2/').then(String, String)
    await eventually(async () => (await ask()).includes('ECONNREFUSED'), waits)
  })
})
