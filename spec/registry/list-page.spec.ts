import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { maxPageNames, pageOf } from '../../lib/registry/list-page.ts'

const names = ['a', 'b', 'c', 'd']
const rows: readonly (readonly [
  number | undefined,
  string | undefined,
  readonly string[],
  string | undefined,
])[] = [
  [undefined, undefined, ['a', 'b', 'c', 'd'], undefined],
  [2, undefined, ['a', 'b'], 'b'],
  [2, 'b', ['c', 'd'], undefined],
  [2, 'bb', ['c', 'd'], undefined],
  [1, 'b', ['c'], 'c'],
  [0, undefined, [], undefined],
  [10, 'd', [], undefined],
  [10, 'z', [], undefined],
]

for (const [limit, after, expected, last] of rows) {
  test(`n=${limit} last=${after} gives ${expected.join(',') || 'nothing'}`, () => {
    const { names: found, link } = pageOf(names, { limit, after }, '/v2/x/tags/list', 'docker.io')
    assert.deepEqual(found, expected)
    const next =
      last === undefined ? undefined : `</v2/x/tags/list?ns=docker.io&n=${limit}&last=${last}>; rel="next"`
    assert.equal(link, next)
  })
}

test('a page is bounded even where the client names no bound', () => {
  const many = Array.from({ length: maxPageNames + 1 }, (_, index) => String(index).padStart(6, '0'))
  const { names: found, link } = pageOf(
    many,
    { limit: undefined, after: undefined },
    '/v2/_catalog',
    undefined,
  )
  assert.equal(found.length, maxPageNames)
  assert.match(link ?? '', /rel="next"/)
})

test('following the links gives every name once, in order', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.string({ minLength: 1, maxLength: 5 }), { maxLength: 30 }),
      fc.integer({ min: 1, max: 7 }),
      (unsorted, limit) => {
        const sorted = [...unsorted].sort()
        const found: string[] = []
        for (let after: string | undefined, pages = 0; ; pages++) {
          assert.ok(pages <= 31)
          const page = pageOf(sorted, { limit, after }, '/v2/_catalog', undefined)
          found.push(...page.names)
          if (page.link === undefined) break
          after =
            new URL(`http://x${page.link.slice(1, page.link.indexOf('>'))}`).searchParams.get('last') ?? ''
        }
        assert.deepEqual(found, sorted)
      },
    ),
  )
})
