import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encodeDelta } from '../../lib/catalog/delta.ts'
import { makeNode } from './catalog-node.ts'
import { digestOf, registry, TestOrigin } from './support.ts'

describe('the running catalog', () => {
  it('who has all of an image is told for images of which this node has the manifest', async () => {
    const node = makeNode()
    await node.catalog.start()
    const [manifest, layer] = [digestOf('manifest'), digestOf('layer')]
    const whole = new TestOrigin()
    const part = new TestOrigin()
    for (const [origin, add] of [
      [whole, [manifest, layer]],
      [part, [manifest]],
    ] as const) {
      node.catalog.setOriginState(origin.peerId, 'live')
      node.receive(encodeDelta(origin.step({ add: [...add] })))
    }
    assert.equal(node.catalog.wholeHolders(registry, manifest), undefined)
    const blob = { sizeBytes: 1, sources: [] }
    await node.catalog.applyStoreChange({
      type: 'image-put',
      image: { namespace: 'k8s.io', name: `${registry}/app:1`, target: manifest },
      blobs: [
        { ...blob, digest: manifest, children: [layer] },
        { ...blob, digest: layer, children: undefined },
      ],
    })
    assert.deepEqual(node.catalog.wholeHolders(registry, manifest), [whole.peerId])
    assert.deepEqual([...node.catalog.soleDigests(whole.peerId)], [{ registry, digest: layer }])
    await node.catalog.stop()
  })
})
