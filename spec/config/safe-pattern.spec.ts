import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { patternProblem } from '../../lib/config/safe-pattern.ts'

describe('a pattern of references', () => {
  for (const good of [
    ':latest$',
    '^docker\\.io/library/',
    ':.*-dev$',
    '^registry\\.example\\.com(?::5000)?/(?:team-a|team-b)/.*:nightly',
    '^.*/test-.*:',
    ':(?:latest|edge)$',
    '[a-z]{3}[0-9]:',
  ]) {
    it(`${good} may be used`, () => assert.equal(patternProblem(good), undefined))
  }

  for (const [bad, why] of [
    ['', /empty/],
    ['(', /not a valid/],
    ['a**', /not a valid/],
    ['(a+)+$', /group must not be repeated/],
    ['(a|a)*', /group must not be repeated/],
    ['(ab){2}', /group must not be repeated/],
    ['(?=x)', /look-around/],
    ['(?<!x)y', /look-around/],
    ['(a)\\1', /back-references/],
    ['a*b*c*', /too many repetitions/],
    ['.*a.*b', /too many repetitions/],
    ['(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)', /too many/],
    ['a?'.repeat(30), /too many/],
    ['x'.repeat(257), /longer than 256/],
  ] as const) {
    it(`${bad.slice(0, 30)} is refused`, () => assert.match(patternProblem(bad) ?? '', why))
  }

  it('that is accepted is fast on the longest of references, whatever it is', () => {
    const piece = fc.constantFrom(
      'a',
      'b',
      '.',
      '[ab]',
      '.*',
      'a*',
      '.+',
      'a?',
      '(a|b)',
      '(?:a|a.)?',
      '|',
      '^',
      '$',
      'a{1,9}',
    )
    const subjects = ['a'.repeat(640), `${'a'.repeat(639)}c`, 'ab'.repeat(320)]
    fc.assert(
      fc.property(fc.array(piece, { minLength: 1, maxLength: 12 }), (pieces) => {
        const pattern = pieces.join('')
        if (patternProblem(pattern) !== undefined) return
        const regex = new RegExp(pattern)
        const started = performance.now()
        for (const subject of subjects) regex.test(subject)
        assert(performance.now() - started < 1000, pattern)
      }),
      { numRuns: 500 },
    )
  })
})
