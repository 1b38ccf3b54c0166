import { mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { layoutNamespace } from '../../lib/oci-layout/layout.ts'
import { createOciLayoutStore } from '../../lib/oci-layout/store.ts'
import { LayoutWriter } from '../../lib/oci-layout/writer.ts'
import { contentStoreContract } from '../support/content-store-contract.ts'
import { quietPorts } from '../support/store-testing.ts'

contentStoreContract('oci-layout', {
  skip: undefined,
  open: async () => {
    const folder = await mkdtemp(join(tmpdir(), 'starling-layout-'))
    const path = join(folder, 'layout')
    const writer = await LayoutWriter.open(path)
    return {
      namespace: layoutNamespace,
      store: () => createOciLayoutStore({ path, ...quietPorts() }),
      async put(name, image) {
        for (const [digest, blob] of image.blobs) await writer.addBlob(blob.bytes(), digest)
        await writer.putImage(name, image.root)
      },
      remove: (name) => writer.removeImage(name),
      removeBlob: (digest) => writer.removeBlob(digest),
      interrupt: () => rename(path, `${path}.away`),
      resume: () => rename(`${path}.away`, path),
      close: () => rm(folder, { recursive: true }),
    }
  },
})
