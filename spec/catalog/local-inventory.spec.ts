import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { LocalInventory } from '../../lib/catalog/local-inventory.ts'
import type { InventoryChange } from '../../lib/catalog/local-registry.ts'
import { maxDepth } from '../../lib/catalog/reachability.ts'
import type { StoreBlob, StoreChange, StoreImage } from '../../lib/core/content-store.ts'
import type { Digest } from '../../lib/core/digest.ts'
import { canonicalRegistry, OfferFilter, tryParseReference } from '../../lib/core/reference.ts'
import { StoreView } from '../../lib/core/store-view.ts'
import { digestOf } from './support.ts'

const hub = 'docker.io'

function blob(name: string, children?: readonly string[], sources: readonly string[] = []): StoreBlob {
  return { digest: digestOf(name), sizeBytes: 10, sources, children: children?.map(digestOf) }
}

function image(name: string, target: string, namespace = 'k8s.io'): StoreImage {
  return { namespace, name, target: digestOf(target) }
}

const alpine: StoreChange = {
  type: 'image-put',
  image: image('docker.io/library/alpine:3', 'index'),
  blobs: [
    blob('index', ['amd64', 'arm64']),
    blob('amd64', ['config', 'layer']),
    blob('config'),
    blob('layer'),
  ],
}

/** The parts of a change that has to do with one registry only. */
function only(parts: readonly InventoryChange[]): InventoryChange {
  assert.equal(new Set(parts.map((part) => part.registry)).size, 1)
  return {
    registry: parts[0]!.registry,
    addedDigests: parts.flatMap((part) => part.addedDigests),
    removedDigests: parts.flatMap((part) => part.removedDigests),
    addedTags: parts.flatMap((part) => part.addedTags),
    removedTags: parts.flatMap((part) => part.removedTags),
  }
}

describe('the local inventory', () => {
  it('offers the present part of an image, where only one platform of the index is there', () => {
    const local = new LocalInventory(new OfferFilter())
    const change = only(local.apply(alpine))
    assert.equal(change.registry, hub)
    assert.deepEqual(
      new Set(change.addedDigests),
      new Set(['index', 'amd64', 'config', 'layer'].map(digestOf)),
    )
    assert.deepEqual(change.addedTags, [
      { repository: 'library/alpine', tag: '3', digest: digestOf('index') },
    ])
    assert.ok(!local.hasDigest(hub, digestOf('arm64')))
  })

  it('offers the other platform when it arrives', () => {
    const local = new LocalInventory(new OfferFilter())
    local.apply(alpine)
    const change = only(local.apply({ type: 'blob-put', blob: blob('arm64', ['config-arm']) }))
    assert.deepEqual(change.addedDigests, [digestOf('arm64')])
    assert.deepEqual(only(local.apply({ type: 'blob-put', blob: blob('config-arm') })).addedDigests, [
      digestOf('config-arm'),
    ])
  })

  it('takes back what a removed image alone reached', () => {
    const local = new LocalInventory(new OfferFilter())
    local.apply(alpine)
    local.apply({
      type: 'image-put',
      image: image('docker.io/me/tool:1', 'tool'),
      blobs: [blob('tool', ['layer', 'tool-layer']), blob('tool-layer')],
    })
    const change = only(
      local.apply({ type: 'image-deleted', namespace: 'k8s.io', name: 'docker.io/library/alpine:3' }),
    )
    assert.deepEqual(new Set(change.removedDigests), new Set(['index', 'amd64', 'config'].map(digestOf)))
    assert.equal(change.removedTags.length, 1)
    assert.ok(local.hasDigest(hub, digestOf('layer')))
  })

  it('takes back a tag whose target is gone, and what was reached through it', () => {
    const local = new LocalInventory(new OfferFilter())
    local.apply(alpine)
    const change = only(local.apply({ type: 'blob-deleted', digest: digestOf('index') }))
    assert.equal(change.removedTags.length, 1)
    assert.equal(change.removedDigests.length, 4)
  })

  it('tells a retag as one pair gone and one come', () => {
    const local = new LocalInventory(new OfferFilter())
    local.apply(alpine)
    const change = only(
      local.apply({
        type: 'image-put',
        image: image('docker.io/library/alpine:3', 'amd64'),
        blobs: [],
      }),
    )
    assert.deepEqual(change.addedTags, [
      { repository: 'library/alpine', tag: '3', digest: digestOf('amd64') },
    ])
    assert.equal(change.removedTags[0]?.digest, digestOf('index'))
    assert.deepEqual(change.removedDigests, [digestOf('index')])
    assert.deepEqual(change.addedDigests, [])
  })

  it('offers the content of an excluded tag, but not the tag', () => {
    const local = new LocalInventory(new OfferFilter())
    const change = only(
      local.apply({ type: 'image-put', image: image('alpine:latest', 'm'), blobs: [blob('m', [])] }),
    )
    assert.deepEqual(change.addedDigests, [digestOf('m')])
    assert.deepEqual(change.addedTags, [])
    assert.ok(local.hasRepository(hub, 'library/alpine'))
  })

  it('makes no claim about the tag of an image that was pulled by digest', () => {
    const local = new LocalInventory(new OfferFilter())
    const name = `docker.io/library/alpine:3@${digestOf('m')}`
    const change = only(local.apply({ type: 'image-put', image: image(name, 'm'), blobs: [blob('m', [])] }))
    assert.deepEqual(change.addedTags, [])
    assert.equal(change.addedDigests.length, 1)
  })

  it('keeps an image of two namespaces until both have let it go', () => {
    const local = new LocalInventory(new OfferFilter())
    local.apply(alpine)
    const twin = image('docker.io/library/alpine:3', 'index', 'default')
    assert.deepEqual(local.apply({ type: 'image-put', image: twin, blobs: [] }), [])
    const gone = { type: 'image-deleted', name: 'docker.io/library/alpine:3' } as const
    assert.deepEqual(local.apply({ ...gone, namespace: 'k8s.io' }), [])
    assert.equal(only(local.apply({ ...gone, namespace: 'default' })).removedDigests.length, 4)
  })

  it('ignores names that are no references', () => {
    const local = new LocalInventory(new OfferFilter())
    const change = local.apply({
      type: 'image-put',
      image: image(`${digestOf('index')}`, 'index'),
      blobs: [blob('index', [])],
    })
    assert.deepEqual(change, [])
  })

  it('a snapshot tells only the difference', () => {
    const local = new LocalInventory(new OfferFilter())
    local.apply(alpine)
    assert.ok(alpine.type === 'image-put')
    const same: StoreChange = { type: 'snapshot', images: [alpine.image], blobs: alpine.blobs }
    assert.deepEqual(local.apply(same), [])
    const change = only(
      local.apply({ type: 'snapshot', images: [alpine.image], blobs: alpine.blobs.slice(0, 3) }),
    )
    assert.deepEqual(change.removedDigests, [digestOf('layer')])
    assert.deepEqual(change.addedDigests, [])
  })
})

describe('source labels', () => {
  const labelled = blob('x', undefined, ['registry.example.com'])

  it('offer a blob before its image is there, without making the registry known', () => {
    const local = new LocalInventory(new OfferFilter())
    const change = only(local.apply({ type: 'blob-put', blob: labelled }))
    assert.equal(change.registry, 'registry.example.com')
    assert.deepEqual(change.addedDigests, [labelled.digest])
    assert.deepEqual(local.namedRegistries(), [])
  })

  it('prove nothing while an image names the same host with a port', () => {
    const local = new LocalInventory(new OfferFilter())
    local.apply({ type: 'blob-put', blob: labelled })
    const name = 'registry.example.com:5000/app:1'
    const changes = local.apply({ type: 'image-put', image: image(name, 'x'), blobs: [] })
    const added = changes.filter((change) => change.addedDigests.length > 0)
    assert.deepEqual(
      added.map((change) => change.registry),
      ['registry.example.com:5000'],
    )
    assert.ok(changes.some((change) => change.registry === 'registry.example.com'))
    assert.ok(!local.hasDigest('registry.example.com', labelled.digest))
    local.apply({ type: 'image-deleted', namespace: 'k8s.io', name })
    assert.ok(local.hasDigest('registry.example.com', labelled.digest))
    assert.ok(!local.hasDigest('registry.example.com:5000', labelled.digest))
  })

  it('name Docker Hub by any of its hosts', () => {
    const local = new LocalInventory(new OfferFilter())
    local.apply({ type: 'blob-put', blob: blob('y', undefined, ['registry-1.docker.io']) })
    assert.ok(local.hasDigest(hub, digestOf('y')))
  })
})

describe('the bounds of a walk', () => {
  it('a cycle is offered while an image reaches it and let go when none does', () => {
    const local = new LocalInventory(new OfferFilter())
    const blobs = [blob('a', ['b']), blob('b', ['a', 'b'])]
    local.apply({ type: 'image-put', image: image('docker.io/me/loop:1', 'a'), blobs })
    assert.equal([...local.digests(hub)].length, 2)
    local.apply({ type: 'blob-deleted', digest: digestOf('b') })
    local.apply({ type: 'blob-put', blob: blobs[1]! })
    assert.equal([...local.digests(hub)].length, 2)
    local.apply({ type: 'image-deleted', namespace: 'k8s.io', name: 'docker.io/me/loop:1' })
    assert.equal([...local.digests(hub)].length, 0)
  })

  it('a chain is followed so many steps and no further', () => {
    const local = new LocalInventory(new OfferFilter())
    const blobs = Array.from({ length: 50 }, (_, index) => blob(`n${index}`, [`n${index + 1}`]))
    local.apply({ type: 'image-put', image: image('docker.io/me/chain:1', 'n0'), blobs })
    assert.equal([...local.digests(hub)].length, maxDepth + 1)
  })
})

/** What should be offered, found by walking everything. */
function model(
  view: StoreView,
  filter: OfferFilter,
): Map<string, { digests: Set<Digest>; tags: Set<string> }> {
  const offers = new Map<string, { digests: Set<Digest>; tags: Set<string> }>()
  const of = (registry: string) => {
    const known = offers.get(registry) ?? { digests: new Set(), tags: new Set() }
    offers.set(registry, known)
    return known
  }
  const references = [...view.images.values()].flatMap(({ name, target }) => {
    const reference = tryParseReference(name)
    return reference === undefined ? [] : [{ reference, target }]
  })
  for (const { reference, target } of references) {
    let level = new Set([target])
    for (let depth = 0; depth <= maxDepth; depth += 1) {
      const next = new Set<Digest>()
      for (const digest of level) {
        const found = view.blobs.get(digest)
        if (found === undefined) continue
        of(reference.registry).digests.add(digest)
        for (const child of found.children ?? []) next.add(child)
      }
      level = next
    }
    const { registry, repository, tag, digest } = reference
    if (tag === undefined || digest !== undefined || !view.blobs.has(target)) continue
    if (filter.offers(registry, repository, tag)) of(registry).tags.add(`${repository}:${tag}@${target}`)
  }
  for (const { digest, sources } of view.blobs.values()) {
    for (const host of sources.map(canonicalRegistry)) {
      const ported = references.some(({ reference }) => reference.registry.startsWith(`${host}:`))
      if (!ported) of(host).digests.add(digest)
    }
  }
  return offers
}

const blobNames = ['a', 'b', 'c', 'd', 'e', 'f']
const registries = ['docker.io', 'r.example', 'r.example:5000']
const anyBlob = fc
  .record({
    name: fc.constantFrom(...blobNames),
    children: fc.option(fc.uniqueArray(fc.constantFrom(...blobNames), { maxLength: 3 }), {
      nil: undefined,
    }),
    sources: fc.uniqueArray(fc.constantFrom('docker.io', 'index.docker.io', 'r.example'), { maxLength: 2 }),
  })
  .map(({ name, children, sources }) => blob(name, children, sources))
const anyImage = fc
  .record({
    registry: fc.constantFrom(...registries),
    rest: fc.constantFrom('x/y:1', 'x/y:2', 'x/y:latest', 'x/z', `x/y@${digestOf('a')}`),
    target: fc.constantFrom(...blobNames),
    namespace: fc.constantFrom('k8s.io', 'default'),
  })
  .map(({ registry, rest, target, namespace }) => image(`${registry}/${rest}`, target, namespace))
const anyChange: fc.Arbitrary<StoreChange> = fc.oneof(
  fc.record({
    type: fc.constant('image-put' as const),
    image: anyImage,
    blobs: fc.array(anyBlob, { maxLength: 3 }),
  }),
  anyImage.map(({ namespace, name }) => ({ type: 'image-deleted' as const, namespace, name })),
  anyBlob.map((put) => ({ type: 'blob-put' as const, blob: put })),
  fc.constantFrom(...blobNames).map((name) => ({ type: 'blob-deleted' as const, digest: digestOf(name) })),
  fc.record({
    type: fc.constant('snapshot' as const),
    images: fc.uniqueArray(anyImage, {
      maxLength: 4,
      selector: ({ namespace, name }) => namespace + name,
    }),
    blobs: fc.uniqueArray(anyBlob, { maxLength: 6, selector: ({ digest }) => digest }),
  }),
)

describe('any sequence of store changes', () => {
  it('comes to the same as walking the whole store, and its changes add up to it', () => {
    const filter = new OfferFilter()
    fc.assert(
      fc.property(fc.array(anyChange, { maxLength: 25 }), (changes) => {
        const local = new LocalInventory(filter)
        const view = new StoreView()
        const told = new Map<string, Set<string>>()
        for (const change of changes) {
          view.apply(change)
          for (const { registry, ...lists } of local.apply(change)) {
            const known = told.get(registry) ?? new Set()
            told.set(registry, known)
            const tagText = (pair: { repository: string; tag: string; digest: string }) =>
              `${pair.repository}:${pair.tag}@${pair.digest}`
            for (const gone of [...lists.removedDigests, ...lists.removedTags.map(tagText)]) {
              assert.ok(known.delete(gone), 'only what was offered is taken back')
            }
            for (const come of [...lists.addedDigests, ...lists.addedTags.map(tagText)]) {
              assert.ok(!known.has(come), 'nothing is offered twice')
              known.add(come)
            }
          }
          const expected = model(view, filter)
          for (const registry of registries) {
            const offers = expected.get(registry)
            const all = new Set<string>([...(offers?.digests ?? []), ...(offers?.tags ?? [])])
            assert.deepEqual(told.get(registry) ?? new Set(), all, registry)
            assert.deepEqual(new Set(local.digests(registry)), offers?.digests ?? new Set())
          }
        }
      }),
      { numRuns: 300 },
    )
  })
})
