import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { StoreBlob, StoreImage } from '../../lib/core/content-store.ts'
import type { Digest } from '../../lib/core/digest.ts'
import type { ParsedManifest } from '../../lib/core/manifest.ts'
import { StoreView } from '../../lib/core/store-view.ts'
import { differenceOf } from '../../lib/oci-layout/difference.ts'
import type { Scan } from '../../lib/oci-layout/scan.ts'

const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const digests = Array.from({ length: 8 }, (_, index) => `sha256:${String(index).repeat(64)}` as Digest)
const plain = { noNullPrototype: true } as const
const states = fc.record({
  images: fc.uniqueArray(
    fc.record(
      {
        namespace: fc.constant('oci-layout'),
        name: fc.constantFrom('r.test/a:1', 'r.test/b:1', 'r.test/c:1'),
        target: fc.constantFrom(...digests),
      },
      plain,
    ),
    { selector: (image) => image.name },
  ),
  blobs: fc.uniqueArray(
    fc.record(
      {
        digest: fc.constantFrom(...digests),
        sizeBytes: fc.integer({ min: 1, max: 3 }),
        sources: fc.constant([]),
        children: fc.option(fc.subarray(digests), { nil: undefined }),
      },
      plain,
    ),
    { selector: (blob) => blob.digest },
  ),
})

function scanOf(blobs: readonly StoreBlob[]): Scan {
  const manifests = new Map<Digest, ParsedManifest>()
  for (const { digest, children } of blobs) {
    if (children !== undefined) manifests.set(digest, { mediaType: manifestType, children })
  }
  return { blobs: new Map(blobs.map((blob) => [blob.digest, blob])), manifests, truncated: false }
}

function viewOf(state: { images: readonly StoreImage[]; blobs: readonly StoreBlob[] }): StoreView {
  const view = new StoreView()
  view.apply({ type: 'snapshot', ...state })
  return view
}

describe('differenceOf', () => {
  it('leads from any state to any other, and tells nothing where they are the same', async () => {
    await fc.assert(
      fc.asyncProperty(states, states, async (told, found) => {
        const view = viewOf(told)
        for (const change of await differenceOf(view, found.images, scanOf(found.blobs))) view.apply(change)
        const expected = viewOf(found)
        const sorted = (map: ReadonlyMap<string, unknown>): unknown[] =>
          [...map].sort(([a], [b]) => (a < b ? -1 : 1))
        assert.deepEqual(sorted(view.images), sorted(expected.images))
        assert.deepEqual(sorted(view.blobs), sorted(expected.blobs))
        assert.deepEqual(await differenceOf(view, found.images, scanOf(found.blobs)), [])
      }),
    )
  })
})
