import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'
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
import { type Fetched, fetchRegistry } from '../support/cluster/registry-client.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { buildImage, type PlatformImage } from '../support/oci-image.ts'

const registry = 'pull.test'
/** In all: more of them would be a fault. */
const maxResumed = 3
const waits = { timeoutMs: 20_000, intervalMs: 50 }

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

/** Pulls one image again and again, as containerd would, until it is ended; keeps everything that went wrong. */
class Puller {
  readonly failures: string[] = []
  pulls = 0
  resumed = 0
  #ended = false
  readonly #node: ClusterNode
  readonly #image: PlatformImage
  readonly #done: Promise<void>
  /** Where it asks; one pull keeps the address with which it began. */
  url: string

  constructor(node: ClusterNode, image: PlatformImage) {
    this.#node = node
    this.#image = image
    this.url = node.registryUrl
    this.#done = this.#run()
  }

  async #run(): Promise<void> {
    const paths = [
      'manifests/1',
      `manifests/${this.#image.root.digest}`,
      ...this.#image.layers.map(({ digest }) => `blobs/${digest}`),
    ]
    while (!this.#ended) {
      const url = this.url
      for (const path of paths) {
        const answer = await this.#fetch(new URL(`/v2/team/app/${path}?ns=${registry}`, url)).catch(String)
        const wanted = path.startsWith('blobs') ? path.slice('blobs/'.length) : this.#image.root.digest
        if (typeof answer === 'string') this.failures.push(`${path}: ${answer}`)
        else if (answer.status !== 200 || answer.digest !== wanted) {
          this.failures.push(
            `${path}: ${answer.status} ${answer.end} ${answer.headers['starling-reason'] ?? answer.body}`,
          )
        }
      }
      this.pulls += 1
    }
  }

  /** One request; a body that ends early by FIN is gone on with from the byte reached, as containerd does; a 503 is asked again. */
  async #fetch(url: URL): Promise<Pick<Fetched, 'status' | 'end' | 'digest' | 'headers' | 'body'>> {
    const parts: Buffer[] = []
    for (;;) {
      const reached = parts.reduce((sum, { length }) => sum + length, 0)
      const range = reached === 0 ? {} : { range: `${reached}-` }
      const answer = await fetchRegistry(url, await this.#node.clientTls(), { keepBody: true, ...range })
      parts.push(answer.body ?? Buffer.alloc(0))
      const isGood = answer.status === (reached === 0 ? 200 : 206)
      // A thread that starts may hold up the others for a moment on a small machine: a 503 sends containerd elsewhere.
      const isHeldUp = answer.status === 503
      if (isHeldUp) parts.pop()
      const mayGoOn = isHeldUp || (isGood && answer.end === 'early-fin' && answer.bytes > 0)
      if (mayGoOn && this.resumed < maxResumed) {
        this.resumed += 1
        continue
      }
      if (!isGood || reached === 0) return answer
      const digest = `sha256:${createHash('sha256').update(Buffer.concat(parts)).digest('hex')}`
      return { ...answer, status: 200, digest }
    }
  }

  /** Waits until two pulls have begun and ended from now on. */
  async goesOn(): Promise<void> {
    const begun = this.pulls
    await eventually(() => this.pulls >= begun + 2, { ...waits, what: 'further pulls' })
    assert.deepEqual(this.failures, [])
  }

  async end(): Promise<void> {
    this.#ended = true
    await this.#done
  }
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
      // Threads that start from sources take seconds of both processors, which is not what this is about.
      bin: await builtBin(),
      configure: (config) => ({ ...config, manageHosts: true }),
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
    puller = new Puller(node, image)
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
    assert.ok(node.logs().some((line) => line.msg === 'the registry uses new credentials'))
    await puller.goesOn()
  })

  it('the registry API moves, and gets more threads', async () => {
    const moved = `${node.address}:7443`
    await change(node, { registry: { listen: moved } })
    await eventually(async () => (await statusOf(node)).registryListen.includes(moved), waits)
    // A pull that is under way goes on at the old address.
    await puller.goesOn()
    const hostsFile = join(node.dir, 'certs.d', registry, 'hosts.toml')
    await eventually(async () => (await readFile(hostsFile, 'utf8')).includes(':7443'), waits)
    puller.url = `https://${moved}`
    await puller.goesOn()
    const threads = () => node.logs().filter((line) => line.msg === 'the registry API is served').length
    const before = threads()
    await change(node, { registry: { listen: moved, workers: 3 } })
    await eventually(() => threads() > before, waits)
    await puller.goesOn()
    await eventually(
      async () =>
        (await node.fetch('/v2/').catch((error: unknown) => String(error)))
          .toString()
          .includes('ECONNREFUSED'),
      { ...waits, what: 'the end of the old listener' },
    )
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

  it('a transfer that began before all of it ends whole', async () => {
    release()
    const { digest, end } = await slow
    assert.deepEqual([digest, end], [large.layers[0]?.digest, 'complete'])
    await puller.end()
    assert.deepEqual(puller.failures, [])
  })
})
