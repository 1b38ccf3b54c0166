import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { parse, stringify } from 'yaml'
import { openAuthority } from '../../lib/app/trust/authority.ts'
import type { StatusView } from '../../lib/core/ops-view.ts'
import { issueServingCertificate, serialSizeBytes } from '../../lib/trust/certificates.ts'
import { readIdentity } from '../../lib/trust/identity.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { putImage } from '../support/cluster/put-image.ts'
import { type ClientTls, fetchRegistry } from '../support/cluster/registry-client.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { buildImage, type PlatformImage } from '../support/oci-image.ts'

const registry = 'broken.test'
const waits = { timeoutMs: 30_000, intervalMs: 50 }
const dayMs = 86_400_000

/** One way in which a file can be bad: what is there instead of its text, undefined for nothing at all, and how that is told. */
interface Breakage {
  readonly file: string
  readonly what: string
  readonly text: (good: string) => string | undefined | 'folder'
  readonly problem: RegExp
}

describe('a file that breaks while the node runs', () => {
  let cluster: Cluster
  let node: ClusterNode
  let pid: number | undefined
  let image: PlatformImage
  let tls: ClientTls
  /** Certificate and key of this node: a second good pair, and an expired one. */
  let other: { certPem: string; keyPem: string }
  let expired: { certPem: string; keyPem: string }

  async function issue(notBeforeMs: number, notAfterMs: number) {
    const { peerId } = readIdentity(await readFile(join(node.trustDir, 'identity.key'), 'utf8'))
    const times = { notBeforeMs, notAfterMs }
    const { authority } = await openAuthority(cluster.trustDir, { nowMs: Date.now(), ...times })
    const subject = { nodeName: node.name, addresses: [node.address], peerId }
    return issueServingCertificate(authority.serverCa, subject, {
      ...times,
      serial: randomBytes(serialSizeBytes),
    })
  }

  before(async () => {
    cluster = await createCluster({ nodes: 2, mirrors: [registry] })
    node = cluster.node(1)
    pid = node.pid
    tls = await node.clientTls()
    image = await buildImage({ seed: 'broken', layers: [{ sizeBytes: 200_000 }] })
    await putImage(cluster.node(0), `${registry}/team/app:1`, image)
    const nowMs = Date.now()
    other = await issue(nowMs - 60_000, nowMs + dayMs)
    expired = await issue(nowMs - 2 * dayMs, nowMs - dayMs)
    await pull()
  })
  after(() => cluster?.dispose())

  /** From the other node, through this one; again where a busy machine was too slow for a holder to answer. */
  const pull = () => eventually(pullOnce, waits)

  async function pullOnce(): Promise<true> {
    const [layer] = image.layers
    for (const [path, digest] of [
      ['manifests/1', image.root.digest],
      [`blobs/${layer?.digest}`, layer?.digest],
    ]) {
      const url = new URL(`/v2/team/app/${path}?ns=${registry}`, node.registryUrl)
      const answer = await fetchRegistry(url, tls)
      assert.deepEqual([answer.status, answer.end, answer.digest], [200, 'complete', digest])
    }
    return true
  }

  const pathOf = (file: string) => join(file.endsWith('.yaml') ? node.dir : node.trustDir, file)
  const problems = async () => (await node.ops<StatusView>('status')).problems
  const count = async (name: string) => (await node.metric(name)) ?? 0

  async function put(file: string, text: string): Promise<void> {
    await rm(file, { recursive: true, force: true })
    await writeFile(`${file}.new`, text, { mode: 0o600 })
    await rename(`${file}.new`, file)
    node.reload()
  }

  async function spoil(file: string, text: string | undefined): Promise<void> {
    if (text !== undefined && text !== 'folder') return put(file, text)
    await rm(file)
    if (text === 'folder') await mkdir(file)
    node.reload()
  }

  const changed = (good: string, keys: object) => stringify({ ...(parse(good) as object), ...keys })
  const at = (file: string) => new RegExp(`${file.replace('.', '\\.')}:\\d+:\\d+: `)
  const breakages: readonly Breakage[] = [
    { file: 'config.yaml', what: 'no YAML', text: () => 'node: [\n', problem: at('config.yaml') },
    {
      file: 'config.yaml',
      what: 'a value of the wrong type',
      text: (good) => changed(good, { auditInterval: ['soon'] }),
      problem: at('config.yaml'),
    },
    {
      file: 'config.yaml',
      what: 'an unknown key',
      text: (good) => changed(good, { bootstarp: [] }),
      problem: /config\.yaml:\d+:\d+: .*bootstrap/,
    },
    {
      file: 'config.yaml',
      what: 'a bad regular expression',
      text: (good) => changed(good, { excludeReferences: ['('] }),
      problem: at('config.yaml'),
    },
    { file: 'config.yaml', what: 'empty', text: () => '', problem: /config\.yaml/ },
    { file: 'config.yaml', what: 'a folder', text: () => 'folder', problem: /config\.yaml/ },
    { file: 'config.yaml', what: 'gone', text: () => undefined, problem: /config\.yaml/ },
    { file: 'registries.yaml', what: 'no YAML', text: () => 'mirrors: [\n', problem: at('registries.yaml') },
    {
      file: 'registries.yaml',
      what: 'a bare *',
      text: () => 'mirrors:\n  *:\n',
      problem: /registries\.yaml:2:\d+: .*"\*"/,
    },
    { file: 'registries.yaml', what: 'a folder', text: () => 'folder', problem: /registries\.yaml/ },
    {
      file: 'serving.crt',
      what: 'cut short',
      text: (good) => good.slice(0, good.length / 2),
      problem: /serving\.crt/,
    },
    { file: 'serving.crt', what: 'empty', text: () => '', problem: /serving\.crt/ },
    { file: 'serving.crt', what: 'gone', text: () => undefined, problem: /serving\.crt/ },
    { file: 'serving.crt', what: 'expired', text: () => expired.certPem, problem: /serving\.crt/ },
    {
      file: 'serving.key',
      what: 'of another certificate',
      text: () => other.keyPem,
      problem: /serving\.key/,
    },
    {
      file: 'server-ca.crt',
      what: 'cut short',
      text: (good) => good.slice(0, 100),
      problem: /server-ca\.crt/,
    },
    { file: 'psk', what: 'empty', text: () => '', problem: /psk/ },
    { file: 'identity.key', what: 'gone', text: () => undefined, problem: /identity\.key/ },
  ]

  for (const { file, what, text, problem } of breakages) {
    it(`${file}, ${what}: the last good one goes on, that is told, and a mended one applies`, async () => {
      const path = pathOf(file)
      const good = await readFile(path, 'utf8')
      const before = await node.ops<StatusView>('status')
      const failures = await count('starling_reload_failures_total')
      await spoil(path, text(good))
      const told = await eventually(async () => (await problems()).find((line) => problem.test(line)), {
        ...waits,
        what: `a problem like ${problem}`,
      })
      assert.ok(!told.includes('\n'), told)
      assert.ok((await count('starling_reload_failures_total')) > failures)
      await eventually(
        () => node.logs().some((line) => line.level === 'error' && told.includes(String(line.problem))),
        waits,
      )
      const now = await node.ops<StatusView>('status')
      for (const key of ['name', 'registryListen', 'p2pListen', 'sharing', 'certificates'] as const) {
        assert.deepEqual(now[key], before[key])
      }
      await pull()

      const reloads = await count('starling_reloads_total')
      await put(path, good)
      await eventually(
        async () =>
          (await count('starling_reloads_total')) > reloads &&
          !(await problems()).some((line) => line.includes(basename(path))),
        { ...waits, what: 'the end of the problem' },
      )
      await pull()
    })
  }

  it('registries.yaml, a rewrite that is no regular expression: it alone is left out, with its place', async () => {
    const good = await readFile(node.registriesFile, 'utf8')
    await put(node.registriesFile, `mirrors:\n  ${registry}:\n    rewrite:\n      "(": x\n`)
    const isTold = () => node.logs().some(({ msg }) => /registries\.yaml:4:\d+: .*"\(" is left out/.test(msg))
    await eventually(isTold, waits)
    await pull()
    await put(node.registriesFile, good)
  })

  it('is said by `starling status` in words', async () => {
    const good = await readFile(node.registriesFile, 'utf8')
    const isTold = async () => (await problems()).some((line) => line.includes('registries.yaml'))
    await put(node.registriesFile, 'mirrors:\n  *:\n')
    await eventually(isTold, waits)
    const { stdout, stderr } = await node.cli('status')
    assert.match(`${stdout}${stderr}`, /registries\.yaml:2:\d+: /)
    await put(node.registriesFile, good)
    await eventually(async () => !(await isTold()), waits)
    assert.equal(node.pid, pid)
  })
})
