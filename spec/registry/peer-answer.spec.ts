import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rangeHeader, readAnswerHead } from '../../lib/registry/peer-answer.ts'
import { wholeBody } from '../../lib/selection/wanted-bytes.ts'
import { digestOf } from './harness.ts'

const digest = digestOf(new Uint8Array())
const right = { 'docker-content-digest': digest }

const rows: readonly (readonly [
  says: string,
  status: number,
  headers: Record<string, string>,
  ranged: boolean,
  expected: object | RegExp,
])[] = [
  [
    'a whole body',
    200,
    { ...right, 'content-length': '10' },
    false,
    { type: 'body', sizeBytes: 10, start: 0, end: 9 },
  ],
  [
    'a body without bytes',
    200,
    { ...right, 'content-length': '0' },
    false,
    { type: 'body', sizeBytes: 0, start: 0, end: -1 },
  ],
  [
    'a range',
    206,
    { ...right, 'content-length': '4', 'content-range': 'bytes 2-5/10' },
    true,
    { type: 'body', sizeBytes: 10, start: 2, end: 5 },
  ],
  [
    'an unsatisfiable range',
    416,
    { 'content-range': 'bytes */10' },
    true,
    { type: 'unsatisfiable', sizeBytes: 10 },
  ],
  ['416 without a size', 416, {}, true, /without a size/],
  ['416 to a whole request', 416, { 'content-range': 'bytes */10' }, false, /answered 416/],
  ['404', 404, {}, false, /answered 404/],
  ['a redirect', 307, { location: 'https://elsewhere' }, false, /answered 307/],
  ['200 to a range request', 200, { ...right, 'content-length': '10' }, true, /another kind/],
  [
    '206 to a whole request',
    206,
    { ...right, 'content-length': '10', 'content-range': 'bytes 0-9/10' },
    false,
    /another kind/,
  ],
  ['no length', 200, right, false, /without a length/],
  ['a length that is no number', 200, { ...right, 'content-length': '1e3' }, false, /without a length/],
  ['another digest', 200, { 'docker-content-digest': 'sha256:x', 'content-length': '1' }, false, /digest/],
  ['no digest', 200, { 'content-length': '1' }, false, /digest/],
  ['an encoding', 200, { ...right, 'content-length': '1', 'content-encoding': 'gzip' }, false, /encoding/],
  ['206 without a range', 206, { ...right, 'content-length': '4' }, true, /without a range/],
  [
    'a range and a length that disagree',
    206,
    { ...right, 'content-length': '5', 'content-range': 'bytes 2-5/10' },
    true,
    /do not agree/,
  ],
  [
    'a range beyond the end',
    206,
    { ...right, 'content-length': '4', 'content-range': 'bytes 8-11/10' },
    true,
    /do not agree/,
  ],
  [
    'a range that runs backwards',
    206,
    { ...right, 'content-length': '0', 'content-range': 'bytes 5-4/10' },
    true,
    /do not agree/,
  ],
]

for (const [says, status, headers, ranged, expected] of rows) {
  test(`${says} is ${expected instanceof RegExp ? 'refused' : 'accepted'}`, () => {
    const head = readAnswerHead(status, headers, { ranged, digest })
    if (!(expected instanceof RegExp)) assert.deepEqual(head, expected)
    else assert.match(head.type === 'refused' ? head.reason : '', expected)
  })
}

test('the bytes that are wanted become a Range header', () => {
  assert.equal(rangeHeader(wholeBody), undefined)
  assert.equal(rangeHeader({ kind: 'span', start: 0, end: undefined }), 'bytes=0-')
  assert.equal(rangeHeader({ kind: 'span', start: 5, end: undefined }), 'bytes=5-')
  assert.equal(rangeHeader({ kind: 'span', start: 0, end: 9 }), 'bytes=0-9')
  assert.equal(rangeHeader({ kind: 'suffix', length: 3 }), 'bytes=-3')
})
