import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LocalInventory } from '../../lib/catalog/local-inventory.ts'
import type { InventoryChange } from '../../lib/catalog/local-registry.ts'
import type { StoreBlob } from '../../lib/core/content-store.ts'
import { OfferFilter } from '../../lib/core/reference.ts'
import { digestOf } from './support.ts'

function blob(name: string, sources: readonly string[]): StoreBlob {
  return { digest: digestOf(name), sizeBytes: 10, sources, children: undefined }
}

function one(parts: readonly InventoryChange[]): InventoryChange {
  const [part] = parts
  assert.ok(part && parts.length === 1)
  return part
}

test('the local inventory offers a blob before its image where the client had asked a registry with a port for it', () => {
  const local = new LocalInventory(new OfferFilter())
  const [registry, other] = ['r.example:5000', 'r.example:6000']
  local.expect(registry, digestOf('layer'))
  assert.deepEqual(
    local.apply({ type: 'blob-put', blob: blob('layer', []) }),
    [],
    'no label says where it is from',
  )
  const labelled = blob('layer', ['r.example'])
  const change = one(local.apply({ type: 'blob-put', blob: labelled }))
  assert.deepEqual([change.registry, change.addedDigests], [registry, [digestOf('layer')]])
  assert.ok(!local.hasDigest('r.example', digestOf('layer')) && !local.hasDigest(other, digestOf('layer')))
  assert.deepEqual(local.namedRegistries(), [])
  local.apply({
    type: 'image-put',
    image: { namespace: 'k8s.io', name: `${other}/me/tool:1`, target: digestOf('tool') },
    blobs: [blob('tool', [])],
  })
  assert.ok(local.hasDigest(registry, digestOf('layer')), 'another port changes nothing about it')
  assert.deepEqual(one(local.apply({ type: 'blob-deleted', digest: digestOf('layer') })).removedDigests, [
    digestOf('layer'),
  ])
  local.expect('elsewhere.example:5000', digestOf('another'))
  local.apply({ type: 'blob-put', blob: blob('another', ['r.example']) })
  assert.ok(!local.hasDigest('elsewhere.example:5000', digestOf('another')), 'the label names another host')
})
