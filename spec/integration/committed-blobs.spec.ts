import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { eventually } from '../support/eventually.ts'
import { buildImage } from '../support/oci-image.ts'
import { digestOnDisk, holdersOf, ingestedBytes, registry, skipLab, startLab } from './containerd-lab.ts'

const mib = 2 ** 20

describe('a layer of an image whose other layers are still coming', { skip: skipLab }, () => {
  it('is offered within a second of its commit, before containerd has the image, and given to a peer', async () => {
    const configure = (config: Readonly<Record<string, unknown>>) => ({ ...config, flights: false })
    await using lab = await startLab({ nodes: 2, bytesPerSecond: 4 * mib, configure })
    const image = await buildImage({
      seed: 'committed',
      layers: [{ sizeBytes: mib }, { sizeBytes: 24 * mib }],
    })
    const [small, large] = image.layers
    assert.ok(small && large)
    await lab.push('team/slow:1', image)
    const [first, second] = [lab.node(0), lab.node(1)]
    const pull = first.containerd.pull(`${registry}/team/slow:1`)
    const committed = async () => (await digestOnDisk(first.containerd, small.digest)) !== undefined
    await eventually(committed, { intervalMs: 20, timeoutMs: 30_000, what: 'the small layer is committed' })
    const startedMs = performance.now()
    await eventually(async () => (await holdersOf(second.starling, small.digest)).length === 1, {
      intervalMs: 20,
      what: 'the other node knows who holds the small layer',
    })
    const offeredMs = performance.now() - startedMs
    const path = `/v2/team/slow/blobs/${small.digest}?ns=${registry}`
    assert.equal((await second.starling.fetch(path)).digest, small.digest)
    assert.ok((await ingestedBytes(first.containerd, large.digest)) > 0, 'the large layer is still coming')
    assert.equal(await first.containerd.ctr('images', 'ls', '-q'), '', 'there is no image yet')
    assert.ok(offeredMs < 1000, `it took ${Math.round(offeredMs)} ms`)
    await pull
  })
})
