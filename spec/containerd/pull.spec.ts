import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { describe, it } from 'node:test'
import { createContainerdStore } from '../../lib/containerd/store.ts'
import type { Digest } from '../../lib/core/digest.ts'
import { containerdAvailable, containerdVersion, startContainerd } from '../support/containerd.ts'
import { buildImage, type TestImage } from '../support/oci-image.ts'
import { quietPorts, Recording } from '../support/store-testing.ts'

/** Serves one image as tag `1` of any repository, as much of a registry as a pull needs. */
async function serveImage(image: TestImage): Promise<{ port: number; close(): void }> {
  const server = createServer((request, response) => {
    const last = request.url?.split('?')[0]?.split('/').at(-1) ?? ''
    const blob = image.blobs.get((last === '1' ? image.root.digest : last) as Digest)
    if (blob === undefined) return void response.writeHead(404).end()
    const { mediaType, digest, size } = blob.descriptor
    response.writeHead(200, {
      'content-type': mediaType,
      'content-length': size,
      'docker-content-digest': digest,
    })
    if (request.method === 'HEAD') response.end()
    else Readable.from(blob.bytes()).pipe(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    port,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

describe('an image that containerd pulls', { skip: containerdAvailable() ?? false }, () => {
  it('is told as it comes: blobs labelled with their registry, whose port containerd drops, then the name', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'starling-cd-'))
    const certsDir = join(dir, 'certs.d')
    const image = await buildImage({
      seed: 'pulled',
      layers: [{ sizeBytes: 2_000_000 }, { sizeBytes: 1000, gzip: true }],
    })
    const registry = await serveImage(image)
    for (const host of ['registry.test:5000', 'docker.io']) {
      await mkdir(join(certsDir, host), { recursive: true })
      const upstream = `http://127.0.0.1:${registry.port}`
      await writeFile(
        join(certsDir, host, 'hosts.toml'),
        `server = "${upstream}"\n[host."${upstream}"]\ncapabilities = ["pull", "resolve"]\n`,
      )
    }
    const containerd = await startContainerd({ dir, certsDir })
    const store = createContainerdStore({
      socket: containerd.socket,
      namespaces: ['k8s.io'],
      ...quietPorts(),
    })
    try {
      const told = await Recording.of(store)
      await containerd.pull('registry.test:5000/team/app:1')
      await told.holds('registry.test:5000/team/app:1', image)
      assert.deepEqual(told.view.blobs.get(image.root.digest)?.sources, ['registry.test'])
      assert.ok(told.view.blobs.get(image.root.digest)?.children?.includes(image.layers[0]!.digest))
      await containerd.pull('docker.io/library/app:1')
      await told.holds('docker.io/library/app:1', image)
      await store.audit()
      for (const layer of image.layers) {
        assert.deepEqual(told.view.blobs.get(layer.digest)?.sources, ['docker.io', 'registry.test'])
      }
      assert.equal(store.status().version?.includes(containerdVersion().join('.')), true)
    } finally {
      await store.stop()
      await containerd.stop()
      registry.close()
      await rm(dir, { recursive: true })
    }
  })
})
