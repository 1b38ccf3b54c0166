import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UploadSlots } from '../../lib/selection/upload-slots.ts'

test('slots are given up to the limits of a peer and of all, and again once they are freed', () => {
  const slots = new UploadSlots({ total: 3, perPeer: 2 })
  const first = slots.take('a')
  assert.ok(first !== undefined && slots.take('a') !== undefined)
  assert.equal(slots.take('a'), undefined, 'two for a peer')
  assert.ok(slots.take('b') !== undefined)
  assert.equal(slots.take('c'), undefined, 'three in all')
  first()
  first()
  assert.equal(slots.total, 2, 'a slot is freed once')
  assert.ok(slots.take('c') !== undefined)
  assert.equal(slots.take('a'), undefined)
})
