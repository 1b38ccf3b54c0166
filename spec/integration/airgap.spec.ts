import assert from 'node:assert/strict'
import { mkdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { StatusView } from '../../lib/core/ops-view.ts'
import { createLayoutImageWriter } from '../../lib/oci-layout/image-writer.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { writeDockerArchive, writeOciArchive } from '../support/oci-files.ts'
import { buildImage } from '../support/oci-image.ts'
import { skipWithout } from '../support/requirements.ts'
import { compressors, drop, dropEachForm, offered, registry } from './airgap-lab.ts'

const imports = async (node: ClusterNode) => (await node.ops<StatusView>('status')).imports

/** Pulls the way containerd does; checks every digest. */
async function pull(node: ClusterNode, repository: string, reference: string): Promise<string> {
  const path = `/v2/team/${repository}`
  const ns = `?ns=${registry}`
  const head = await node.fetch(`${path}/manifests/${reference}${ns}`, { method: 'HEAD' })
  assert.equal(head.status, 200, `${repository}:${reference} at ${node.name}`)
  const digest = String(head.headers['docker-content-digest'])
  const manifest = await node.fetch(`${path}/manifests/${digest}${ns}`)
  assert.equal(manifest.digest, digest)
  const { config, layers } = JSON.parse(String(manifest.body)) as {
    config: { digest: string }
    layers: { digest: string }[]
  }
  for (const blob of [config, ...layers]) {
    const got = await node.fetch(`${path}/blobs/${blob.digest}${ns}`)
    assert.equal(got.digest, blob.digest)
  }
  return digest
}

describe('three nodes without upstream, with image layouts', {
  skip: skipWithout(...compressors),
}, () => {
  let cluster: Cluster
  before(async () => {
    cluster = await createCluster({ nodes: 3, mirrors: [registry] })
  })
  after(() => cluster?.dispose())

  it('an archive of each kind and compression that is dropped on one is pulled from the others by tag and digest', async () => {
    const dropped = await dropEachForm(cluster.node(0))
    for (const { repository } of dropped) {
      for (const index of [1, 2]) {
        const node = cluster.node(index)
        await offered(node, repository)
        const digest = await pull(node, repository, '1')
        assert.equal(await pull(node, repository, digest), digest)
      }
    }
    assert.deepEqual(
      (await imports(cluster.node(0)))?.files.map(({ file, problem }) => [file, problem]).sort(),
      dropped.map(({ file }) => [file, undefined]).sort(),
    )
  })

  it('a broken archive is named in the status and tried again when it changes; one that goes takes its pin along', async () => {
    const node = cluster.node(1)
    const file = join(node.dir, 'data', 'images', 'picture.tar.zst')
    await mkdir(join(node.dir, 'data', 'images'), { recursive: true })
    await writeFile(file, Buffer.from('ffd8ffe000104a464946', 'hex'))
    await eventually(async () => (await imports(node))?.files[0]?.problem !== undefined, {
      timeoutMs: 10_000,
    })
    assert.match(
      (await node.ops<StatusView>('status')).problems.join('\n'),
      /picture\.tar\.zst: this is no tar archive/,
    )
    const link = join(node.dir, 'data', 'images', 'link.tar')
    await symlink('nowhere', link)
    await eventually(
      async () =>
        /link\.tar: there is no such file/.test((await node.ops<StatusView>('status')).problems.join('\n')),
      { timeoutMs: 10_000, what: 'the link to nothing is named' },
    )
    await rm(link)
    await eventually(async () => (await imports(node))?.files.length === 1, { timeoutMs: 10_000 })
    const image = await buildImage({ seed: 'mended', layers: [{ sizeBytes: 5000 }] })
    const name = `${registry}/team/mended:1`
    await writeOciArchive(`${file}.aside`, [{ name, image }])
    await rename(`${file}.aside`, file)
    await eventually(async () => (await imports(node))?.files[0]?.images[0] === name, { timeoutMs: 10_000 })
    const labels = async () => {
      const writer = await createLayoutImageWriter(join(node.dir, 'oci'))
      return (await writer.images()).find((stored) => stored.name === name)?.labels ?? {}
    }
    assert.equal((await labels())['io.cri-containerd.pinned'], 'pinned')
    await rm(file)
    await eventually(async () => (await labels())['io.cri-containerd.pinned'] === undefined, {
      timeoutMs: 10_000,
    })
    assert.equal(await pull(node, 'mended', '1'), image.root.digest)
  })

  it('a node that is killed at any point of an import ends in the right state, and imports nothing twice', async () => {
    const node = cluster.node(2)
    const image = await buildImage({
      seed: 'killed',
      layers: [{ sizeBytes: 30_000_000 }, { sizeBytes: 4_000_000 }],
    })
    const name = `${registry}/team/killed:1`
    await drop(node, 'killed.tar', (path) => writeDockerArchive(path, name, image))
    for (const afterMs of [1100, 60, 250]) {
      await delay(afterMs)
      await node.kill()
      await node.start()
    }
    await eventually(async () => (await imports(node))?.files[0]?.images[0] === name, { timeoutMs: 20_000 })
    await offered(node, 'killed')
    const digest = await pull(node, 'killed', '1')
    const done = () => node.logs().filter((line) => line.msg === 'images were imported').length
    const before = done()
    await node.stop()
    await node.start()
    await eventually(async () => (await imports(node))?.files[0]?.images[0] === name, { timeoutMs: 5000 })
    const moment = new Date()
    await utimes(join(node.dir, 'data', 'images', 'killed.tar'), moment, moment)
    const known = () =>
      node.logs().some(({ msg }) => String(msg).startsWith('a file has the bytes that it had'))
    await eventually(known, { timeoutMs: 10_000, what: 'the touched file is known by its bytes' })
    assert.equal(done(), before)
    await offered(cluster.node(0), 'killed')
    assert.equal(await pull(cluster.node(0), 'killed', '1'), digest)
  })
})
