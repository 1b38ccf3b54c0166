import assert from 'node:assert/strict'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { after, before, describe, it } from 'node:test'
import { parse, stringify } from 'yaml'
import type { StatusView, WhereView } from '../../lib/core/ops-view.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { putImage } from '../support/cluster/put-image.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { buildImage, type TestImage } from '../support/oci-image.ts'

const registry = 'tags.test'
const waits = { timeoutMs: 20_000, intervalMs: 50 }

async function put(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text)
  await rename(`${file}.new`, file)
}

const pathOf = (reference: string) => `/v2/team/app/manifests/${reference}?ns=${registry}`
const linesOf = async (node: ClusterNode) =>
  (await node.ops<StatusView>('status')).problems.filter((line) => line.includes('disagree on'))
const short = (image: TestImage) => image.root.digest.slice(0, 19)

describe('tags between nodes', () => {
  let cluster: Cluster
  let many: TestImage
  let few: TestImage

  before(async () => {
    cluster = await createCluster({ nodes: 4, started: 3, mirrors: [registry] })
    many = await buildImage({ seed: 'many', layers: [{ sizeBytes: 1000 }] })
    few = await buildImage({ seed: 'few', layers: [{ sizeBytes: 2000 }] })
    for (const index of [0, 1]) await putImage(cluster.node(index), `${registry}/team/app:1`, many)
    await putImage(cluster.node(2), `${registry}/team/app:1`, few)
    await putImage(cluster.node(2), `${registry}/team/app:latest`, few)
    for (const node of cluster.nodes.slice(0, 3)) {
      await eventually(async () => {
        const { disputed } = await node.ops<WhereView>(`where/${registry}/team/app:1`)
        return disputed.length === 2 && disputed.some((side) => side.holders === 2)
      }, waits)
    }
  })
  after(() => cluster?.dispose())

  async function change(node: ClusterNode, keys: object): Promise<void> {
    const config = parse(await readFile(node.configFile, 'utf8')) as object
    const reloads = (await node.metric('starling_reloads_total')) ?? 0
    await put(node.configFile, stringify({ ...config, ...keys }))
    process.kill(node.pid ?? 0, 'SIGHUP')
    await eventually(async () => ((await node.metric('starling_reloads_total')) ?? 0) > reloads, waits)
  }

  it('one on which they disagree is left to upstream, and the status of every node names both sides', async () => {
    for (const node of cluster.nodes.slice(0, 3)) {
      const [line = '', ...more] = await eventually(async () => {
        const lines = await linesOf(node)
        return lines.length > 0 ? lines : undefined
      }, waits)
      assert.deepEqual(more, [])
      assert.ok(line.includes(`${short(many)} on node-1, node-2`), line)
      assert.ok(line.includes(`${short(few)} on node-3`), line)
      assert.match(line, /tags\.test\/team\/app:1: .*: upstream decides$/)
    }
    const refused = await cluster.node(2).fetch(pathOf('1'))
    assert.equal(refused.status, 404)
    assert.match(String(refused.body), /tag-disputed/)
    assert.equal((await cluster.node(2).fetch(pathOf(many.root.digest))).status, 200)
    const shown = await cluster.node(0).cli('status')
    assert.match(shown.stdout + shown.stderr, /disagree on tags\.test\/team\/app:1/)
  })

  it('where containerd has no other place to ask, the digest with most holders is served, with a word of warning', async () => {
    const node = cluster.node(2)
    await change(node, { 'disable-default-registry-endpoint': true })
    await eventually(async () => (await node.fetch(pathOf('1'))).status === 200, waits)
    const { headers } = await node.fetch(pathOf('1'))
    assert.equal(headers['docker-content-digest'], many.root.digest)
    assert.ok(((await node.metric('starling_disputed_tags_answered_total')) ?? 0) > 0)
    assert.ok(node.logs().some((line) => line.level === 'warn' && /the majority is served/.test(line.msg)))
    assert.match((await linesOf(node))[0] ?? '', new RegExp(`: ${short(many)} is served$`))
    await change(node, { disputedTags: 'refuse' })
    await eventually(async () => (await node.fetch(pathOf('1'))).status === 404, waits)
  })

  it('only digests are answered where tags are switched off, and latest is not announced at all', async () => {
    const node = cluster.node(1)
    await change(node, { disputedTags: 'majority' })
    await eventually(async () => (await node.fetch(pathOf('1'))).status === 200, waits)
    await change(node, { resolveTags: { [registry]: false } })
    await eventually(async () => (await node.fetch(pathOf('1'))).status === 404, waits)
    await eventually(
      async () => /resolveTags is off/.test(String((await node.fetch(pathOf('1'))).body)),
      waits,
    )
    assert.equal((await node.fetch(pathOf(few.root.digest))).status, 200)
    assert.match(String((await node.fetch(pathOf('latest'))).body), /never answered from peers/)
    assert.ok(!JSON.stringify(await node.ops<object>('images')).includes(':latest'))
  })

  it('a node that starts with nothing to mirror opens no port, and takes part when the first registry is named', async () => {
    const node = cluster.node(3)
    await putImage(node, `${registry}/team/late:1`, few)
    await put(node.registriesFile, 'mirrors:\n')
    await node.start()
    const { sharing, registryListen, p2pListen } = await node.ops<StatusView>('status')
    assert.deepEqual([sharing.active, registryListen, p2pListen], [false, [], []])
    await assert.rejects(node.fetch('/v2/'), /ECONNREFUSED/)
    await put(node.registriesFile, `mirrors:\n  ${registry}:\n`)
    await eventually(async () => (await node.ops<StatusView>('status')).sharing.active, waits)
    const path = `/v2/team/late/manifests/1?ns=${registry}`
    await eventually(async () => (await cluster.node(0).fetch(path)).status === 200, waits)
    await eventually(async () => (await node.fetch(pathOf(many.root.digest))).status === 200, waits)
    await put(node.registriesFile, '')
    await eventually(async () => !(await node.ops<StatusView>('status')).sharing.active, waits)
    const refused = () =>
      node.fetch('/v2/').then(
        () => false,
        (error: unknown) => String(error).includes('ECONNREFUSED'),
      )
    await eventually(refused, { ...waits, what: 'the end of the listener' })
  })
})
