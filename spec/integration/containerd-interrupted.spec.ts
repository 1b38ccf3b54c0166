import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { Digest } from '../../lib/core/digest.ts'
import type { LogLine } from '../support/cluster/node-process.ts'
import { eventually } from '../support/eventually.ts'
import { buildImage, type PlatformImage } from '../support/oci-image.ts'
import {
  digestOnDisk,
  ingestedBytes,
  type Lab,
  registry,
  skipLab,
  startLab,
  waitHolders,
  wrongBlobs,
} from './containerd-lab.ts'
import { beginRawDownload } from './raw-download.ts'

const layerSizeBytes = 256 * 2 ** 20
/** Where a download is stopped: far from both ends, whatever the buffers on the way hold. */
const middleBytes = 32 * 2 ** 20
const name = `${registry}/team/large:1`

describe('a large layer, and nodes that die while they serve it', { skip: skipLab }, () => {
  let lab: Lab
  let image: PlatformImage
  let layer: { readonly digest: Digest; readonly size: number }

  before(async () => {
    // Node 3 asks node 1 first: it is in its own zone.
    lab = await startLab({ zoneOf: (index) => (index === 1 ? 'far' : 'near') })
    image = await buildImage({ seed: 'large', layers: [{ sizeBytes: layerSizeBytes }] })
    layer = image.layers[0] as typeof layer
    await lab.push('team/large:1', image)
    await lab.fetch(0, name)
  })
  after(() => lab?.[Symbol.asyncDispose]())

  /** The log lines of a node's answers to requests for the layer. */
  const requestsOfLayer = (index: number): LogLine[] =>
    lab
      .node(index)
      .starling.logs()
      .filter((line) => line.msg === 'request' && String(line.path).includes(layer.digest))

  /** Only node 1 holds the layer, and every other node knows it. */
  async function onlyFirstHolds(): Promise<void> {
    for (const { containerd } of lab.nodes.slice(1)) {
      await containerd.ctr('images', 'rm', '--sync', name).catch(() => {})
    }
    if (!lab.node(0).starling.running) await lab.node(0).starling.start()
    for (const { starling } of lab.nodes) await waitHolders(starling, layer.digest, ['node-1'], 30_000)
  }

  /** Begins a fetch and stops the containerd of the node in the middle of the layer; `finish` lets it go on to its end. */
  async function beginFetch(index: number): Promise<{ atBytes: number; finish(): Promise<void> }> {
    const { containerd } = lab.node(index)
    const fetched = lab.fetch(index, name)
    // It may fail while nobody looks.
    fetched.catch(() => {})
    await eventually(async () => (await ingestedBytes(containerd, layer.digest)) >= middleBytes, {
      what: 'the middle of the layer',
      intervalMs: 1,
    })
    containerd.pause()
    const atBytes = await ingestedBytes(containerd, layer.digest)
    assert.ok(atBytes < layer.size - middleBytes, `it was stopped at ${atBytes}`)
    return {
      atBytes,
      async finish() {
        containerd.resume()
        await fetched
      },
    }
  }

  it('a layer of 256 MiB arrives byte-equal', async () => {
    for (const { starling } of lab.nodes) await waitHolders(starling, layer.digest, ['node-1'])
    lab.upstream.forget()
    await lab.fetch(1, name)
    assert.deepEqual(lab.upstream.requests(), [])
    assert.deepEqual(await wrongBlobs(lab.node(1).containerd, image), [])
  })

  it('SIGKILL of the serving node in the middle: the pull goes on at the second holder, in one body', async () => {
    const third = lab.node(2)
    for (const digest of image.blobs.keys()) await waitHolders(third.starling, digest, ['node-1', 'node-2'])
    const download = await beginFetch(2)
    await lab.node(0).starling.kill()
    await download.finish()
    assert.deepEqual(await wrongBlobs(third.containerd, image), [])
    assert.deepEqual(lab.upstream.requests(), [])
    const [request, ...more] = requestsOfLayer(2)
    assert.deepEqual(more, [])
    const peers = (request?.peers ?? []) as readonly string[]
    assert.deepEqual(peers.toSorted(), ['node-1', 'node-2'], 'whichever was asked first')
    assert.equal(request?.bytes, layer.size)
  })

  it('without a second holder the body ends early by FIN, and a Range request for the rest gets 404', async () => {
    await onlyFirstHolds()
    const second = lab.node(1).starling
    const path = `/v2/team/large/blobs/${layer.digest}?ns=${registry}`
    const download = await beginRawDownload(second, path, middleBytes)
    await download.stopped
    await lab.node(0).starling.kill()
    download.resume()
    const { status, announcedBytes, bytes, digest, end } = await download.ended
    assert.equal(end, 'fin')
    assert.equal(status, 200)
    assert.equal(announcedBytes, layer.size)
    assert.ok(bytes >= middleBytes && bytes < layer.size, `${bytes} bytes came`)
    assert.equal(digest, await digestOnDisk(lab.node(0).containerd, layer.digest, bytes))
    const rest = await second.fetch(path, { range: `${bytes}-` })
    assert.equal(rest.status, 404)
    assert.match(String(rest.body), /BLOB_UNKNOWN.*starling: /)
  })

  it('with an upstream the same pull takes the rest from there, and only the rest', async () => {
    await onlyFirstHolds()
    const third = lab.node(2)
    const seen = requestsOfLayer(2).length
    lab.upstream.forget()
    const download = await beginFetch(2)
    await lab.node(0).starling.kill()
    await download.finish()
    assert.deepEqual(await wrongBlobs(third.containerd, image), [])
    const [begun, refused, ...more] = requestsOfLayer(2).slice(seen)
    assert.equal(begun?.incomplete, true)
    assert.match(String(begun?.reason), /from node-1 .*ended early: nobody is left who has the rest/)
    assert.equal(refused?.status, 404)
    assert.deepEqual(more, [])
    const [resumed, ...others] = lab.upstream.requests().filter((request) => request.bytes > 0)
    assert.deepEqual(others, [])
    assert.ok(resumed?.path.includes(layer.digest))
    assert.equal(resumed?.status, 206)
    assert.equal(resumed?.bytes, layer.size - Number(begun?.bytes))
    assert.ok(Number(begun?.bytes) >= download.atBytes)
  })

  it('where one holder is killed and the other one stopped, the same pull takes only the rest from upstream', async () => {
    await onlyFirstHolds()
    const third = lab.node(2)
    await lab.fetch(1, name)
    for (const digest of image.blobs.keys()) {
      await waitHolders(third.starling, digest, ['node-1', 'node-2'], 30_000)
    }
    const seen = requestsOfLayer(2).length
    lab.upstream.forget()
    const download = await beginFetch(2)
    lab.node(0).starling.pause()
    await lab.node(1).starling.kill()
    await download.finish()
    lab.node(0).starling.resume()
    assert.deepEqual(await wrongBlobs(third.containerd, image), [])
    const [begun, refused] = requestsOfLayer(2).slice(seen)
    assert.equal(begun?.incomplete, true)
    assert.equal(refused?.status, 404)
    const [resumed, ...others] = lab.upstream.requests().filter((request) => request.bytes > 0)
    assert.deepEqual(others, [])
    assert.equal(resumed?.bytes, layer.size - Number(begun?.bytes))
  })
})
