import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { StoreBlob, StoreImage } from '../../lib/core/content-store.ts'
import type { Digest } from '../../lib/core/digest.ts'
import { StoreView, sameBlob } from '../../lib/core/store-view.ts'

const digests = Array.from({ length: 6 }, (_, index) => `sha256:${String(index).repeat(64)}` as Digest)
const digestArbitrary = fc.constantFrom(...digests)
const blobs = fc.uniqueArray(
  fc.record({
    digest: digestArbitrary,
    sizeBytes: fc.nat(2),
    sources: fc.subarray(['docker.io', 'registry.test']),
    children: fc.option(fc.subarray(digests), { nil: undefined }),
  }),
  { selector: (blob) => blob.digest },
)
const images = fc.uniqueArray(
  fc.record({
    namespace: fc.constantFrom('k8s.io', 'moby'),
    name: fc.constantFrom('a:1', 'b:1', 'c:1'),
    target: digestArbitrary,
  }),
  { selector: (image) => `${image.namespace} ${image.name}` },
)

function viewOf(content: { images: readonly StoreImage[]; blobs: readonly StoreBlob[] }): StoreView {
  const view = new StoreView()
  view.apply({ type: 'snapshot', ...content })
  return view
}

describe('StoreView', () => {
  it('adds steps up', () => {
    const [one, two, three] = digests
    assert.ok(one && two && three)
    const blob = (digest: Digest): StoreBlob => ({ digest, sizeBytes: 1, sources: [], children: undefined })
    const image = { namespace: 'k8s.io', name: 'a:1', target: one }
    const view = viewOf({ images: [], blobs: [blob(three)] })
    view.apply({ type: 'image-put', image, blobs: [blob(one)] })
    view.apply({ type: 'image-put', image: { ...image, namespace: 'moby' }, blobs: [] })
    view.apply({ type: 'blob-put', blob: { ...blob(two), sizeBytes: 9 } })
    view.apply({ type: 'blob-deleted', digest: three })
    view.apply({ type: 'image-deleted', namespace: 'moby', name: 'a:1' })
    assert.deepEqual([...view.images.values()], [image])
    assert.deepEqual([...view.blobs.values()], [blob(one), { ...blob(two), sizeBytes: 9 }])
  })

  it('differs from a listing exactly where a snapshot of it would change something', () => {
    fc.assert(
      fc.property(fc.record({ images, blobs }), fc.record({ images, blobs }), (told, listed) => {
        const before = viewOf(told)
        const after = viewOf(listed)
        const same =
          before.images.size === after.images.size &&
          before.blobs.size === after.blobs.size &&
          [...after.images].every(([key, image]) => before.images.get(key)?.target === image.target) &&
          [...after.blobs].every(([digest, blob]) => {
            const known = before.blobs.get(digest)
            return known !== undefined && sameBlob(known, blob)
          })
        assert.equal(before.differences(listed.images, listed.blobs) === 0, same)
        assert.equal(after.differences(listed.images, listed.blobs), 0)
      }),
    )
  })
})
