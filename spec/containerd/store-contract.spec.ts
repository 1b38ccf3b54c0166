import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { blobPath } from '../../lib/containerd/content-folder.ts'
import { createContainerdStore } from '../../lib/containerd/store.ts'
import { containerdAvailable, startContainerd } from '../support/containerd.ts'
import { contentStoreContract } from '../support/content-store-contract.ts'
import { writeOciArchive } from '../support/oci-files.ts'
import { quietPorts } from '../support/store-testing.ts'

contentStoreContract('containerd', {
  skip: containerdAvailable(),
  open: async () => {
    const dir = await mkdtemp(join(tmpdir(), 'starling-cd-'))
    const containerd = await startContainerd({ dir })
    const archive = join(dir, 'image.tar')
    return {
      namespace: 'k8s.io',
      store: () =>
        createContainerdStore({ socket: containerd.socket, namespaces: ['k8s.io'], ...quietPorts() }),
      async put(name, image) {
        await writeOciArchive(archive, [{ name, image }])
        await containerd.ctr('images', 'import', '--no-unpack', archive)
      },
      async remove(name) {
        await containerd.ctr('images', 'rm', '--sync', name)
      },
      removeBlob: (digest) => rm(blobPath(containerd.contentPath, digest)),
      interrupt: () => containerd.kill(),
      resume: () => containerd.restart(),
      async close() {
        await containerd.stop()
        await rm(dir, { recursive: true })
      },
    }
  },
})
