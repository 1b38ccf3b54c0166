import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { Digest } from '../../lib/core/digest.ts'
import type { StatusView } from '../../lib/core/ops-view.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { opsGet, opsJson } from '../support/cluster/ops-client.ts'
import { putImage } from '../support/cluster/put-image.ts'
import { waitHolders } from '../support/cluster/views.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { buildImage, type PlatformImage } from '../support/oci-image.ts'
import { flipBit } from './lying/tamper.ts'
import { blobFile } from './transfer/shared-blob.ts'

const layerSizeBytes = 24 * 2 ** 20

const flip = (node: ClusterNode, digest: Digest, at: number) => flipBit(blobFile(node, digest), at)

describe('a bit that flips on the disk of a holder', () => {
  let cluster: Cluster
  let image: PlatformImage
  let layer: { readonly digest: Digest; readonly size: number }
  const name = 'registry.test/team/app:1'

  const holders = (indexes: readonly number[], timeoutMs = 15_000) =>
    waitHolders(
      [cluster.node(2)],
      layer.digest,
      indexes.map((index) => cluster.node(index)),
      timeoutMs,
    )

  before(async () => {
    cluster = await createCluster({
      nodes: 3,
      configure: (config) => ({ ...config, auditInterval: '2s' }),
    })
    image = await buildImage({ seed: 'integrity', layers: [{ sizeBytes: layerSizeBytes }] })
    layer = image.layers[0] as typeof layer
    for (const index of [0, 1]) await putImage(cluster.node(index), name, image)
    await holders([0, 1])
    for (const index of [0, 1]) {
      await eventually(
        async () =>
          /hashed_bytes_total\{kind="\w+"\} (?!0)/.test(
            (await opsGet(cluster.node(index).opsSocket, '/api/v1/metrics')).body,
          ),
        { what: 'the map' },
      )
    }
  })
  after(() => cluster?.[Symbol.asyncDispose]())

  const pull = (range?: string) =>
    cluster
      .node(2)
      .fetch(`/v2/team/app/blobs/${layer.digest}?ns=registry.test`, range === undefined ? {} : { range })

  const problems = async (index: number): Promise<string> =>
    (await opsJson<StatusView>(cluster.node(index).opsSocket, 'status')).problems.join('\n')

  it('does not travel: another holder gives the rest, and the damaged copy is no longer offered', async () => {
    await flip(cluster.node(0), layer.digest, layer.size - 700)
    for (let round = 0; round < 8 && !(await problems(0)).includes('damaged'); round++) {
      const fetched = await pull()
      assert.equal(fetched.digest, layer.digest)
    }
    assert.match(await problems(0), new RegExp(`${layer.digest} is damaged on this node`))
    assert.ok(!(await problems(1)).includes('damaged'))
    await holders([1])
    const fetched = await pull()
    assert.equal(fetched.digest, layer.digest)
  })

  it('of the only copy ends the body in front of it, and the rest is answered by 404', async () => {
    await flip(cluster.node(1), layer.digest, 9_000_000)
    const first = await pull()
    assert.ok(first.bytes <= 9_000_000)
    await holders([])
    assert.equal((await pull(`${first.bytes}-`)).status, 404)
  })

  it('a copy that is right again is offered again', async () => {
    await flip(cluster.node(1), layer.digest, 9_000_000)
    await holders([1], 45_000)
    assert.equal((await pull()).digest, layer.digest)
  })
})
