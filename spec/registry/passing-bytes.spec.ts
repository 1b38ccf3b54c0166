import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { createPassingMemory, PassingBytes } from '../../lib/registry/flights/passing-bytes.ts'
import { digestOf } from './harness.ts'

const ringBytes = 1000
const digest = digestOf(Buffer.from('a'))
const other = digestOf(Buffer.from('b'))

function readAll(passing: PassingBytes, offset: number, length = ringBytes): Buffer {
  const target = Buffer.alloc(length)
  return target.subarray(0, passing.find(digest)?.read(target, offset) ?? 0)
}

test('whatever the chunks, what can be read is what passed, and the latest of it can be read', () => {
  const chunks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 2500 }), { maxLength: 12 })
  fc.assert(
    fc.property(chunks, fc.nat(5000), fc.nat(5000), (parts, start, offset) => {
      const passing = new PassingBytes(createPassingMemory(2, ringBytes), 0)
      const writer = passing.open(digest, start, 100_000)
      const all = Buffer.concat([Buffer.alloc(start), ...parts])
      for (const part of parts) writer?.write(part)
      const view = passing.find(digest)
      assert.ok(view)
      assert.equal(view.end, all.length)
      assert.equal(view.floor, Math.max(start, all.length - ringBytes))
      const got = readAll(passing, offset)
      const isKept = offset >= view.floor && offset < view.end
      assert.deepEqual(got, isKept ? all.subarray(offset) : Buffer.alloc(0))
    }),
  )
})

test('another thread reads what one writes, and sees nothing of it any more once it is dropped', () => {
  const memory = createPassingMemory(2, ringBytes)
  const [writing, reading] = [new PassingBytes(memory, 0), new PassingBytes(memory, 1)]
  const bytes = randomBytes(500)
  const writer = writing.open(digest, 0, 700)
  writer?.write(bytes)
  assert.deepEqual(readAll(reading, 0), bytes)
  assert.equal(reading.find(digest)?.sizeBytes, 700)
  assert.equal(reading.find(other), undefined)
  assert.equal(reading.open(digest, 0, 700), undefined, 'it passes already')
  const view = reading.find(digest)
  writer?.close(false)
  assert.equal(reading.find(digest), undefined)
  assert.equal(view?.read(Buffer.alloc(10), 0), 0)
})

test('a whole body stays until its ring is needed, and its view then gives nothing of the next one', () => {
  const passing = new PassingBytes(createPassingMemory(1, ringBytes), 0)
  const writer = passing.open(digest, 0, 100)
  writer?.write(randomBytes(100))
  assert.equal(passing.open(other, 0, 100), undefined, 'the only ring is in use')
  writer?.close(true)
  const view = passing.find(digest)
  assert.equal(view?.open, false)
  assert.equal(view?.read(Buffer.alloc(100), 0), 100)
  passing.open(other, 0, 100)?.write(randomBytes(100))
  assert.equal(passing.find(digest), undefined)
  assert.equal(view?.read(Buffer.alloc(100), 0), 0)
})

test('what a thread had open that crashed is free for its successor, that of others is not', () => {
  const memory = createPassingMemory(2, ringBytes)
  new PassingBytes(memory, 0).open(digest, 0, 100)
  const kept = new PassingBytes(memory, 1).open(other, 0, 100)
  assert.ok(kept)
  const successor = new PassingBytes(memory, 0)
  assert.equal(successor.find(digest), undefined)
  assert.equal(successor.find(other)?.open, true)
})
