import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { voteOnMaps } from '../../lib/selection/map-vote.ts'

const claims = (text: string) => [...text].map((key, peer) => ({ peer, key }))

const table = [
  ['', 'too-few'],
  ['a', 'too-few'],
  ['aa', 'agreed'],
  ['ab', 'tied'],
  ['aab', 'agreed'],
  ['abc', 'tied'],
  ['aabb', 'tied'],
  ['abaac', 'agreed'],
] as const

for (const [text, type] of table) {
  test(`holders who claim "${text}" are ${type}`, () => assert.equal(voteOnMaps(claims(text)).type, type))
}

test('who goes against the others is named, whatever the order of the answers', () => {
  const verdict = voteOnMaps(claims('bab'))
  assert.deepEqual(verdict, { type: 'agreed', key: 'b', backers: [0, 2], against: [1] })
})

test('a map is gone by only where it has more claims than any other', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 9 }), (keys) => {
      const verdict = voteOnMaps(keys.map((key, peer) => ({ peer, key })))
      if (verdict.type !== 'agreed') return
      const count = (key: string) => keys.filter((other) => other === key).length
      for (const key of ['a', 'b', 'c']) {
        assert.ok(key === verdict.key || count(key) < count(verdict.key))
      }
      assert.equal(verdict.backers.length + verdict.against.length, keys.length)
    }),
  )
})
