import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseRangeHeader } from '../../lib/core/byte-range.ts'
import { applicableRange, isUnchanged, wantedBytes } from '../../lib/registry/conditional.ts'
import { digestOf } from './harness.ts'

const digest = digestOf(new Uint8Array())

const tags: readonly (readonly [string | undefined, boolean])[] = [
  [undefined, false],
  [`"${digest}"`, true],
  [`W/"${digest}"`, true],
  [`"a", "${digest}"`, true],
  ['*', true],
  [digest, false],
  ['"a"', false],
  ['', false],
]

for (const [header, unchanged] of tags) {
  test(`If-None-Match ${header} is ${unchanged ? '' : 'not '}this content`, () => {
    assert.equal(isUnchanged(header, digest), unchanged)
  })
}

test('a Range with an If-Range of other content is left out', () => {
  assert.equal(applicableRange('bytes=0-1', undefined, digest), 'bytes=0-1')
  assert.equal(applicableRange('bytes=0-1', `"${digest}"`, digest), 'bytes=0-1')
  assert.equal(applicableRange('bytes=0-1', '"other"', digest), undefined)
})

const part = fc.oneof(fc.constant(''), fc.nat(50).map(String))
const header = fc.oneof(
  fc.tuple(part, part).map(([first, last]) => `bytes=${first}-${last}`),
  fc.constantFrom('bytes=0-1,3-4', 'items=0-1', 'bytes=-', 'bytes=x-1', 'bytes= 1-2'),
)

test('a Range is read the same whether the size is known or not', () => {
  fc.assert(
    fc.property(header, fc.integer({ min: 1, max: 60 }), (text, size) => {
      const known = parseRangeHeader(text, size)
      const wanted = wantedBytes(text)
      if (wanted === 'unsatisfiable') assert.equal(known, 'unsatisfiable')
      else if (wanted.kind === 'suffix') {
        assert.deepEqual(known, { start: Math.max(0, size - wanted.length), end: size - 1 })
      } else if (known === 'whole') assert.deepEqual(wanted, { kind: 'span', start: 0, end: undefined })
      else if (known === 'unsatisfiable') assert.ok(wanted.start >= size)
      else {
        assert.equal(wanted.start, known.start)
        assert.equal(Math.min(wanted.end ?? size - 1, size - 1), known.end)
      }
    }),
  )
})
