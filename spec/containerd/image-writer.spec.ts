import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { importArchive } from '../../lib/archive/import-archive.ts'
import { createContainerdImageWriter } from '../../lib/containerd/image-writer.ts'
import { unpinned } from '../../lib/core/image-labels.ts'
import type { ImageWriter } from '../../lib/core/image-writer.ts'
import { containerdAvailable, startContainerd, type TestContainerd } from '../support/containerd.ts'
import { eventually } from '../support/eventually.ts'
import { writeDockerArchive, writeOciArchive } from '../support/oci-files.ts'
import { buildImage, hostPlatform } from '../support/oci-image.ts'
import { type TempFolder, tempFolder } from '../support/temp-folder.ts'

const platform = { ...hostPlatform(), variant: undefined }

describe('images put into containerd', { skip: containerdAvailable() ?? false }, () => {
  let folder: TempFolder
  let containerd: TestContainerd
  let writer: ImageWriter
  before(async () => {
    folder = await tempFolder('iw')
    containerd = await startContainerd({ dir: folder.path })
    await containerd.ctr('namespaces', 'create', 'other')
    writer = await createContainerdImageWriter(containerd.socket, 'k8s.io')
  })
  after(async () => {
    await writer?.close()
    await containerd?.kill()
    await folder?.[Symbol.asyncDispose]()
  })

  const importFrom = (path: string) =>
    importArchive({ path, writer, platform: 'all', hostPlatform: platform })
  const leases = () => containerd.ctr('leases', 'ls', '-q')

  it('a docker-archive gets the digest that ctr gives it, and labels as containerd sets them', async () => {
    const name = 'made-up.test:5000/team/docker:1'
    const image = await buildImage({ seed: 'docker', layers: [{ sizeBytes: 3_000_000 }, { sizeBytes: 10 }] })
    const file = join(folder.path, 'docker.tar')
    await writeDockerArchive(file, name, image)
    const { images } = await importFrom(file)
    await containerd.ctr('-n', 'other', 'images', 'import', '--no-unpack', file)
    const theirs = await containerd.ctr('-n', 'other', 'images', 'ls', '-q')
    assert.equal(theirs.trim(), name)
    const list = await containerd.ctr('-n', 'other', 'images', 'ls')
    assert.match(list, new RegExp(images[0]?.digest ?? 'none'), 'the same digest')
    const content = await containerd.ctr('content', 'ls')
    for (const blob of [image.config, ...image.diffs.map((diff) => diff.descriptor)])
      assert.match(content, new RegExp(`${blob.digest}.*distribution.source.made-up.test=team/docker`))
    assert.match(content, new RegExp(`${images[0]?.digest}.*gc.ref.content.config=${image.config.digest}`))
    const names = (await writer.images()).map((stored) => stored.name).sort()
    assert.deepEqual(
      names,
      [name, `made-up.test:5000/team/docker@${images[0]?.digest}`, image.config.digest].sort(),
    )
    assert.equal(await leases(), '')
  })

  it('the image survives the collector, and its pin goes alone', async () => {
    const name = 'made-up.test/team/oci:1'
    const image = await buildImage({ seed: 'oci', layers: [{ sizeBytes: 2_500_000 }] })
    const file = join(folder.path, 'oci.tar')
    await writeOciArchive(file, [{ name, image }])
    await importFrom(file)
    await containerd.ctr('leases', 'create', '--id', 'collect')
    await containerd.ctr('leases', 'delete', '--sync', 'collect')
    for (const digest of image.blobs.keys()) assert.notEqual(await writer.sizeOf(digest), undefined, digest)
    const labels = async () => (await writer.images()).find((stored) => stored.name === name)?.labels ?? {}
    assert.equal((await labels())['io.cri-containerd.pinned'], 'pinned')
    assert.equal((await labels())['io.cri-containerd.image'], 'managed')
    assert.equal(await writer.labelImage(name, unpinned), true)
    assert.equal((await labels())['io.cri-containerd.pinned'], undefined)
    assert.equal((await labels())['io.cri-containerd.image'], 'managed')
    assert.equal(await writer.labelImage('made-up.test/team/none:1', unpinned), false)
  })

  it('of a broken archive nothing stays, and an import that broke off is cleared by the next', async () => {
    const image = await buildImage({ seed: 'broken', layers: [{ sizeBytes: 2_000_000 }] })
    const file = join(folder.path, 'broken.tar')
    await writeOciArchive(file, [{ name: 'made-up.test/team/broken:1', image }])
    const abandoned = await writer.begin()
    const layer = [...image.blobs.values()][0]
    assert.ok(layer !== undefined)
    await abandoned.addBlob(layer.bytes())
    assert.notEqual(await leases(), '')
    await rm(file)
    await writeFile(file, Buffer.alloc(4096, 'x'))
    await assert.rejects(importFrom(file), /no tar archive/)
    assert.equal(await leases(), '')
    await eventually(async () => (await writer.sizeOf(layer.descriptor.digest)) === undefined, {
      timeoutMs: 10_000,
      what: 'the blob is collected',
    })
  })
})
