import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { importFile } from '../../../lib/app/import/import-file.ts'
import { fixLabels, storeImages } from '../../../lib/app/import/store-images.ts'
import { openWriter } from '../../../lib/app/import/writer.ts'
import { digestHex } from '../../../lib/core/digest.ts'
import { unpinned } from '../../../lib/core/image-labels.ts'
import { containerdAvailable, startContainerd, type TestContainerd } from '../../support/containerd.ts'
import { writeOciArchive } from '../../support/oci-files.ts'
import { buildImage } from '../../support/oci-image.ts'
import { tempFolder } from '../../support/temp-folder.ts'

describe('the images of a layout', () => {
  it('tells what is pinned, what nothing keeps any more, and what is not whole', async () => {
    await using folder = await tempFolder('si')
    const store = { type: 'oci-layout', path: join(folder.path, 'oci') } as const
    const name = 'r.test/team/app:1'
    const image = await buildImage({ seed: 'si', layers: [{ sizeBytes: 100 }] })
    const path = join(folder.path, 'a.tar')
    await writeOciArchive(path, [{ name, image }])
    await importFile({ path, store, platform: 'all' }, () => {})
    const look = async () => (await storeImages(store)).find((view) => view.name === name)
    const digest = image.root.digest
    assert.deepEqual(await look(), {
      name,
      digest,
      pinned: true,
      importedFrom: path,
      orphaned: false,
      missing: null,
    })
    await (await openWriter(store)).labelImage(name, unpinned)
    assert.deepEqual(await look(), {
      name,
      digest,
      pinned: false,
      importedFrom: path,
      orphaned: true,
      missing: null,
    })
    const layer = image.layers[0]?.digest ?? digest
    await rm(join(store.path, 'blobs', 'sha256', digestHex(layer)))
    assert.match((await look())?.missing ?? '', new RegExp(`${layer} is named and is not there`))
  })
})

describe('labels of images that ctr loaded', { skip: containerdAvailable() ?? false }, () => {
  let containerd: TestContainerd
  const undo = new AsyncDisposableStack()
  before(async () => {
    const folder = undo.use(await tempFolder('fl'))
    containerd = await startContainerd({ dir: folder.path })
    undo.defer(() => containerd.kill())
    const image = await buildImage({ seed: 'fl', layers: [{ sizeBytes: 1000 }] })
    const path = join(folder.path, 'a.tar')
    await writeOciArchive(path, [{ name: 'r.test:5000/team/loaded:1', image }])
    await containerd.ctr('images', 'import', '--no-unpack', path)
  })
  after(() => undo.disposeAsync())

  it('are set once, as a pull would have set them', async () => {
    const store = {
      type: 'containerd',
      socket: containerd.socket,
      namespaces: ['k8s.io'],
      contentPath: undefined,
    } as const
    assert.doesNotMatch(await containerd.ctr('content', 'ls'), /distribution\.source/)
    assert.deepEqual(await fixLabels(store), ['r.test:5000/team/loaded:1'])
    const lines = (await containerd.ctr('content', 'ls')).trim().split('\n').slice(1)
    assert.equal(lines.filter((line) => /distribution\.source\.r\.test=team\/loaded/.test(line)).length, 3)
    assert.match(await containerd.ctr('images', 'ls'), /io\.cri-containerd\.image=managed/)
    assert.deepEqual(await fixLabels(store), [])
  })
})
