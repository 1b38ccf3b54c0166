import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { importArchive } from '../../lib/archive/import-archive.ts'
import { createContainerdImageWriter } from '../../lib/containerd/image-writer.ts'
import { unpinned } from '../../lib/core/image-labels.ts'
import {
  containerdAvailable,
  containerdVersion,
  startContainerd,
  type TestContainerd,
} from '../support/containerd.ts'
import { type CriImage, openCri } from '../support/cri/client.ts'
import { eventually } from '../support/eventually.ts'
import { writeDockerArchive, writeOciArchive } from '../support/oci-files.ts'
import { buildImage, buildIndex, hostPlatform } from '../support/oci-image.ts'
import { tempFolder } from '../support/temp-folder.ts'

const [major, minor] = containerdAvailable() === undefined ? containerdVersion() : [0, 0]
/** Older ones do not tell the kubelet of pins, whatever the labels say. */
const tellsPins = major > 1 || minor >= 7

describe('the kubelet', { skip: containerdAvailable() ?? false }, () => {
  const undo = new AsyncDisposableStack()
  let containerd: TestContainerd
  let dir = ''
  before(async () => {
    dir = undo.use(await tempFolder('cri')).path
    containerd = await startContainerd({ dir, cri: {} })
    undo.defer(() => containerd.kill())
  })
  after(() => undo.disposeAsync())

  async function seen(tag: string): Promise<CriImage | undefined> {
    using cri = openCri(containerd.socket)
    return (await cri.images()).find(({ repoTags }) => repoTags.includes(tag))
  }

  async function imported(path: string): Promise<void> {
    const writer = await createContainerdImageWriter(containerd.socket, 'k8s.io')
    const platform = { ...hostPlatform(), variant: undefined }
    try {
      await importArchive({ path, writer, platform: 'all', hostPlatform: platform })
    } finally {
      await writer.close()
    }
  }

  it('sees an imported image of each kind at once, by its names and digest, pinned', async () => {
    const image = await buildImage({
      seed: 'cri',
      layers: [{ sizeBytes: 40_000 }, { sizeBytes: 9, gzip: true }],
    })
    const index = await buildIndex([{ image, platform: hostPlatform() }])
    for (const kind of ['docker', 'oci', 'index']) {
      const name = `made-up.test/team/${kind}:1`
      const path = join(dir, `${kind}.tar`)
      if (kind === 'docker') await writeDockerArchive(path, name, image)
      else await writeOciArchive(path, [{ name, image: kind === 'oci' ? image : index }])
      await imported(path)
      await eventually(async () => (await seen(name)) !== undefined, {
        timeoutMs: 10_000,
        what: `CRI sees ${name}`,
      })
      const found = await seen(name)
      assert.equal(found?.id, image.config.digest)
      assert.ok(
        found.repoDigests.some((digest) => digest.startsWith(`made-up.test/team/${kind}@sha256:`)),
        kind,
      )
      assert.ok(found.size > 0)
      if (tellsPins) assert.equal(found.pinned, true)
    }
  })

  it('goes on seeing it after a restart, and after the pin has gone', async () => {
    const name = 'made-up.test/team/oci:1'
    await containerd.restart()
    await eventually(async () => (await seen(name).catch(() => undefined)) !== undefined, {
      timeoutMs: 20_000,
    })
    const writer = await createContainerdImageWriter(containerd.socket, 'k8s.io')
    try {
      for (const { name: one } of await writer.images()) await writer.labelImage(one, unpinned)
    } finally {
      await writer.close()
    }
    if (tellsPins) await eventually(async () => (await seen(name))?.pinned === false, { timeoutMs: 10_000 })
    assert.notEqual(await seen(name), undefined, 'the image stays')
  })
})
