import assert from 'node:assert/strict'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { createContainerdImageWriter } from '../../lib/containerd/image-writer.ts'
import type { StatusView } from '../../lib/core/ops-view.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'
import { containerdAvailable, startContainerd, type TestContainerd } from '../support/containerd.ts'
import { eventually } from '../support/eventually.ts'
import { writeOciArchive } from '../support/oci-files.ts'
import { buildImage, buildIndex, hostPlatform, type TestImage } from '../support/oci-image.ts'
import { runToEnd } from '../support/processes.ts'
import { starlingBin } from '../support/project.ts'

const registry = 'lists.test'

describe('a list of references', { skip: containerdAvailable() ?? false }, () => {
  let cluster: Cluster
  const containerds: TestContainerd[] = []
  before(async () => {
    cluster = await createCluster({
      nodes: 2,
      mirrors: [registry],
      async store(place) {
        const containerd = await startContainerd({ dir: join(place.dir, 'cd') })
        containerds.push(containerd)
        return { type: 'containerd', socket: containerd.socket }
      },
    })
  })
  after(async () => {
    await cluster?.dispose()
    await Promise.all(containerds.map((containerd) => containerd.kill()))
  })

  async function load(index: number, name: string, image: TestImage): Promise<void> {
    const file = join(cluster.node(index).dir, 'load.tar')
    await writeOciArchive(file, [{ name, image }])
    await containerds[index]?.ctr('images', 'import', '--no-unpack', '--all-platforms', file)
    await rm(file)
  }

  const listed = async (node: ClusterNode, file: string) =>
    (await node.ops<StatusView>('status')).imports?.files.find((entry) => entry.file === file)

  async function labelsAt(index: number, name: string) {
    const writer = await createContainerdImageWriter(containerds[index]?.socket ?? '', 'k8s.io')
    try {
      const found = (await writer.images()).filter((image) => image.name === name)
      return found.map(({ labels }) => labels['io.cri-containerd.pinned'])
    } finally {
      await writer.close()
    }
  }

  it('in the images folder is pulled from the other node and pinned; what nobody has is named and waited for', async () => {
    const image = await buildImage({ seed: 'listed', layers: [{ sizeBytes: 2_000_000 }, { sizeBytes: 7 }] })
    const late = await buildImage({ seed: 'late', layers: [{ sizeBytes: 9000 }] })
    const name = `${registry}/team/listed:1`
    const lateName = `${registry}/team/late:1`
    const own = `${registry}/team/own:1`
    const index = await buildIndex([{ image, platform: hostPlatform() }])
    await load(0, name, index)
    await load(1, own, await buildImage({ seed: 'own', layers: [{ sizeBytes: 5 }] }))
    const node = cluster.node(1)
    await eventually(
      async () =>
        (await node.fetch(`/v2/team/listed/manifests/1?ns=${registry}`, { method: 'HEAD' })).status === 200,
      { timeoutMs: 15_000, what: 'the image is known' },
    )
    const images = join(node.dir, 'data', 'images')
    await mkdir(images, { recursive: true })
    await writeFile(join(images, 'all.txt'), `# everything\n${name}\n${lateName}\n${own}\n`)
    await eventually(async () => (await listed(node, 'all.txt'))?.images.length === 2, { timeoutMs: 20_000 })
    const status = await listed(node, 'all.txt')
    assert.deepEqual(status?.images, [name, own])
    assert.deepEqual(
      status.waiting.map((one) => one.name),
      [lateName],
    )
    const { problems } = await node.ops<StatusView>('status')
    assert.match(problems.join('\n'), /^all\.txt waits for lists\.test\/team\/late:1: .*no live node/m)
    for (const pinned of [name, `${registry}/team/listed@${index.root.digest}`, own, image.config.digest]) {
      assert.deepEqual(await labelsAt(1, pinned), ['pinned'], pinned)
    }
    await load(0, lateName, late)
    await eventually(async () => (await listed(node, 'all.txt'))?.waiting.length === 0, {
      timeoutMs: 30_000,
      what: 'the late image is pulled',
    })
    assert.deepEqual(await labelsAt(1, lateName), ['pinned'])
    assert.match(
      (await containerds[1]?.ctr('content', 'ls')) ?? '',
      new RegExp(late.layers[0]?.digest ?? 'none'),
    )
    await rm(join(images, 'all.txt'))
    await eventually(async () => (await labelsAt(1, name))[0] === undefined, { timeoutMs: 15_000 })
    assert.equal((await labelsAt(1, name)).length, 1, 'the image stays')
    // The kubelet goes by all names of an image.
    const others = [`${registry}/team/listed@${index.root.digest}`, image.config.digest]
    for (const other of others)
      await eventually(async () => (await labelsAt(1, other))[0] === undefined, { timeoutMs: 15_000 })
  })

  it('by hand ends with 1 and a line for each that no node has', async () => {
    const image = await buildImage({ seed: 'hand', layers: [{ sizeBytes: 4000 }] })
    const name = `${registry}/team/hand:1`
    await load(0, name, image)
    const node = cluster.node(1)
    await eventually(
      async () =>
        (await node.fetch(`/v2/team/hand/manifests/1?ns=${registry}`, { method: 'HEAD' })).status === 200,
      { timeoutMs: 15_000, what: 'the image is known' },
    )
    const file = join(node.dir, 'hand.txt')
    const command = () =>
      runToEnd(process.execPath, [starlingBin, 'import', '--config', node.configFile, file], {
        timeoutMs: 60_000,
      })
    await writeFile(file, `${name}\n${registry}/team/never:1\n`)
    const first = await command()
    assert.equal(first.code, 1)
    assert.match(first.stdout, /^lists\.test\/team\/hand:1 +sha256:/m)
    assert.match(first.stderr, /hand\.txt: lists\.test\/team\/never:1 is not available: no live node/)
    await writeFile(file, `${name}\nnot one\n`)
    const second = await command()
    assert.deepEqual([second.code, second.stdout], [1, ''])
    assert.match(second.stderr, /hand\.txt:2: "not one" is no image reference/)
  })
})
