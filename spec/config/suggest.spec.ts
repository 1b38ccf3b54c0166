import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { editDistance, suggest } from '../../lib/config/suggest.ts'

describe('a suggestion', () => {
  for (const [word, meant] of [
    ['lsiten', 'listen'],
    ['stall_timeout', 'stallTimeout'],
    ['STALLTIMEOUT', 'stallTimeout'],
    ['worker', 'workers'],
    ['warning', 'warn'],
  ] as const) {
    it(`for ${word} is ${meant}`, () => {
      assert.equal(suggest(word, ['listen', 'workers', 'stallTimeout', 'warn']), meant)
    })
  }

  it('is not made when nothing is near', () => {
    assert.equal(suggest('colour', ['listen', 'workers']), undefined)
    assert.equal(suggest('x'.repeat(100_000), ['listen']), undefined)
  })
})

describe('the edit distance', () => {
  it('is symmetric, and 0 only for equal texts', () => {
    const word = fc.string({ maxLength: 8 })
    fc.assert(
      fc.property(word, word, (a, b) => {
        assert.equal(editDistance(a, b), editDistance(b, a))
        assert.equal(editDistance(a, b) === 0, a === b)
      }),
    )
  })
})
