import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nearPartners } from '../../../lib/app/catalog/partners.ts'
import type { PeerId } from '../../../lib/core/peer-id.ts'

const peers = Array.from({ length: 50 }, (_, index) => `peer-${index}` as PeerId)
const rng = (value: number) => ({ next: () => value })

describe('whom a node compares its catalog with', () => {
  it('is connected already where there are enough, but for one time in ten', () => {
    const connected = new Set(peers.slice(0, 12))
    assert.deepEqual(nearPartners(peers, connected, rng(0.1)), peers.slice(0, 12))
    assert.deepEqual(nearPartners(peers, connected, rng(0.09)), peers)
  })

  it('is anybody who mirrors the registry as long as few of them are connected', () => {
    const connected = new Set([...peers.slice(0, 7), 'another' as PeerId])
    assert.deepEqual(nearPartners(peers, connected, rng(0.9)), peers)
    assert.deepEqual(nearPartners([], connected, rng(0.9)), [])
  })
})
