import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Digest, digestHex } from '../../lib/core/digest.ts'
import type { PeerView, StatusView } from '../../lib/core/ops-view.ts'
import { eventually } from '../support/eventually.ts'
import { buildImage, type PlatformImage } from '../support/oci-image.ts'
import {
  type Lab,
  type LabNode,
  registry,
  skipLab,
  startLab,
  waitHolders,
  wrongBlobs,
} from './containerd-lab.ts'
import { flipBit, hashedBytes, makeLiar, waitHashed } from './lying/tamper.ts'

const layerSizeBytes = 24 * 2 ** 20

describe('real pulls, where the only holder of a layer has wrong bytes', { skip: skipLab }, () => {
  let lab: Lab
  before(async () => {
    lab = await startLab()
  })
  after(() => lab?.[Symbol.asyncDispose]())

  interface Given {
    readonly name: string
    readonly image: PlatformImage
    readonly layer: { readonly digest: Digest; readonly size: number }
    /** The file of the layer in the containerd of the holder. */
    readonly file: string
  }

  /** An image that the first node alone holds, its map made, and that upstream has too. */
  async function give(seed: string): Promise<Given> {
    const image = await buildImage({ seed, layers: [{ sizeBytes: layerSizeBytes }] })
    const layer = image.layers[0] as Given['layer']
    const name = `${registry}/team/${seed}:1`
    const { starling, containerd } = lab.node(0)
    await lab.push(`team/${seed}:1`, image)
    const hashed = await hashedBytes(starling)
    await lab.fetch(0, name)
    for (const { starling: viewer } of lab.nodes) await waitHolders(viewer, layer.digest, ['node-1'])
    await waitHashed(starling, hashed, layer.size)
    lab.upstream.forget()
    return {
      name,
      image,
      layer,
      file: join(containerd.contentPath, 'blobs', 'sha256', digestHex(layer.digest)),
    }
  }

  const bytesFromUpstream = ({ digest }: Given['layer']): number =>
    lab.upstream
      .requests()
      .filter(({ path }) => path.includes(digest))
      .reduce((sum, { bytes }) => sum + bytes, 0)

  const quarantinedBy = async ({ starling }: LabNode): Promise<string[]> =>
    (await starling.ops<PeerView[]>('peers'))
      .filter(({ quarantine }) => quarantine !== undefined)
      .map(({ name }) => name)

  it('a bit that flipped on its disk: the same pull ends well, with the rest of the bytes from upstream', async () => {
    const { name, image, layer, file } = await give('flipped')
    const at = 17_000_000
    await flipBit(file, at)
    await lab.fetch(1, name)
    assert.deepEqual(await wrongBlobs(lab.node(1).containerd, image), [])
    const rest = bytesFromUpstream(layer)
    assert.ok(rest >= layer.size - at && rest < layer.size, `${rest} bytes came from upstream`)
    const { problems } = await lab.node(0).starling.ops<StatusView>('status')
    assert.ok(problems.some((line) => line.startsWith(`${layer.digest} is damaged on this node`)))
    assert.deepEqual(await quarantinedBy(lab.node(1)), [])
  })

  it('a lie: that pull fails, the liar is in quarantine, and the next pull is right and comes from upstream', async () => {
    const { name, image, layer, file } = await give('lie')
    await makeLiar(lab.node(0).starling, layer.digest, file, 9_000_000)
    await assert.rejects(lab.fetch(2, name))
    const found = async () => (await quarantinedBy(lab.node(2))).includes('node-1')
    await eventually(found, { what: 'the liar is found' })
    // Containerd keeps what failed its check until it has collected the lease of that pull; one in between fails on it again.
    const next = async (): Promise<boolean> => {
      lab.upstream.forget()
      await lab.fetch(2, name)
      return true
    }
    await eventually(next, { timeoutMs: 60_000, intervalMs: 500, what: 'containerd to begin the layer anew' })
    assert.deepEqual(await wrongBlobs(lab.node(2).containerd, image), [])
    assert.equal(bytesFromUpstream(layer), layer.size)
  })
})
