import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chooseStewards, contender } from '../../lib/flights/rendezvous.ts'
import { peer } from './support.ts'

const members = Array.from({ length: 50 }, (_, index) => contender(peer(index)))

test('all who know the same members name the same stewards, in whatever order they know them', () => {
  for (let index = 0; index < 50; index++) {
    const key = `registry.test blob-${index}`
    const stewards = chooseStewards(members, key, 2)
    assert.equal(new Set(stewards).size, 2)
    assert.deepEqual(chooseStewards([...members].reverse(), key, 2), stewards)
  }
})

test('a member that goes moves only its own keys, to the second choice', () => {
  for (let index = 0; index < 200; index++) {
    const key = `registry.test blob-${index}`
    const [first, second] = chooseStewards(members, key, 2)
    const without = members.filter(({ peerId }) => peerId !== first)
    assert.equal(chooseStewards(without, key, 1)[0], second)
    const other = members.filter(({ peerId }) => peerId === first || peerId === second)
    assert.equal(chooseStewards(other, key, 1)[0], first)
  }
})

test('keys are shared out evenly', () => {
  const counts = new Map<string, number>()
  for (let index = 0; index < 10_000; index++) {
    const [first = ''] = chooseStewards(members, `registry.test blob-${index}`, 1)
    counts.set(first, (counts.get(first) ?? 0) + 1)
  }
  assert.equal(counts.size, 50)
  for (const count of counts.values()) assert.ok(count > 120 && count < 290, `${count} of 10000 keys`)
})

test('fewer members than choices name all there are', () => {
  assert.deepEqual(chooseStewards(members.slice(0, 1), 'k', 2), [peer(0)])
  assert.deepEqual(chooseStewards([], 'k', 2), [])
})
