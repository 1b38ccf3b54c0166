import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { contentRange, parseRangeHeader, rangeLength } from '../../lib/core/byte-range.ts'

describe('range header (RFC 9110 §14)', () => {
  const rows: readonly [string | undefined, number, ReturnType<typeof parseRangeHeader>][] = [
    [undefined, 10, 'whole'],
    ['bytes=0-', 10, { start: 0, end: 9 }],
    ['bytes=3-5', 10, { start: 3, end: 5 }],
    ['bytes=3-99', 10, { start: 3, end: 9 }],
    ['bytes=9-9', 10, { start: 9, end: 9 }],
    ['bytes=-3', 10, { start: 7, end: 9 }],
    ['bytes=-99', 10, { start: 0, end: 9 }],
    ['Bytes=1-2', 10, { start: 1, end: 2 }],
    ['bytes=10-', 10, 'unsatisfiable'],
    ['bytes=10-11', 10, 'unsatisfiable'],
    ['bytes=-0', 10, 'unsatisfiable'],
    ['bytes=0-', 0, 'unsatisfiable'],
    ['bytes=-1', 0, 'unsatisfiable'],
    ['bytes=5-3', 10, 'whole'],
    ['bytes=1-2,4-5', 10, 'whole'],
    ['lines=1-2', 10, 'whole'],
    ['bytes=-', 10, 'whole'],
    ['bytes=a-b', 10, 'whole'],
    ['', 10, 'whole'],
    [`bytes=${'9'.repeat(40)}-`, 10, 'whole'],
  ]
  for (const [header, size, expected] of rows) {
    it(`reads ${JSON.stringify(header)} of ${size} bytes`, () => {
      assert.deepEqual(parseRangeHeader(header, size), expected)
    })
  }

  it('never leaves the body, whatever the header says', () => {
    fc.assert(
      fc.property(fc.nat(), fc.option(fc.nat()), fc.option(fc.nat()), (size, first, last) => {
        const range = parseRangeHeader(`bytes=${first ?? ''}-${last ?? ''}`, size)
        if (typeof range === 'string') return
        assert.ok(range.start >= 0 && range.start <= range.end && range.end < size)
        assert.ok(rangeLength(range) >= 1)
      }),
    )
  })

  it('is answered with Content-Range', () => {
    assert.equal(contentRange({ start: 1, end: 2 }, 3), 'bytes 1-2/3')
    assert.equal(contentRange(undefined, 3), 'bytes */3')
  })
})
