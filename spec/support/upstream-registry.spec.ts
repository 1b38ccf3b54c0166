import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { loopbackNetwork } from './cluster/network.ts'
import { writeOciLayout } from './oci-files.ts'
import { buildImage } from './oci-image.ts'
import { skipWithout } from './requirements.ts'
import { tempFolder } from './temp-folder.ts'
import { startUpstreamRegistry } from './upstream-registry.ts'

describe('the upstream registry', { skip: skipWithout('docker-registry', 'skopeo') }, () => {
  it('takes an image, serves it, counts the requests, and can be stopped and started', async () => {
    await using folder = await tempFolder('upstream')
    const address = loopbackNetwork().addressOf(0)
    await using upstream = await startUpstreamRegistry({ dir: join(folder.path, 'up'), address, port: 5000 })
    const image = await buildImage({ seed: 'upstream', layers: [{ sizeBytes: 100_000 }] })
    const layout = join(folder.path, 'layout')
    await writeOciLayout(layout, [{ name: 'registry.test/team/app:1', image }])
    await upstream.push(layout, '1', 'team/app:1')
    upstream.forget()

    const url = `http://${upstream.host}/v2/team/app/manifests/1`
    const accept = 'application/vnd.oci.image.manifest.v1+json'
    const answer = await fetch(url, { headers: { accept } })
    await answer.arrayBuffer()
    assert.equal(answer.headers.get('docker-content-digest'), image.root.digest)
    assert.deepEqual(upstream.requests(), [
      { method: 'GET', path: '/v2/team/app/manifests/1', status: 200, bytes: image.root.size },
    ])

    await upstream.stop()
    await assert.rejects(fetch(url))
    await upstream.start()
    assert.equal((await fetch(url, { method: 'HEAD', headers: { accept } })).status, 200)
  })
})
