import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BodyOutput } from '../../lib/registry/body-output.ts'

const part = 32 * 2 ** 10

/** An output to a client that takes what it is given when the spec says so. */
function play() {
  const written: Uint8Array[] = []
  let drain: () => void = () => {}
  let rooms = 0
  const sink = {
    begin: () => {},
    write(chunk: Uint8Array) {
      written.push(chunk)
      return false
    },
    drained: () =>
      new Promise<void>((resolve) => {
        drain = resolve
      }),
  }
  const output = new BodyOutput(sink, true, () => void rooms++)
  const takes = async () => {
    drain()
    await new Promise(setImmediate)
  }
  return { output, written, takes, rooms: () => rooms }
}

const parts = (count: number) => Array.from({ length: count }, (_, index) => Buffer.alloc(part, index))

test('a slow client gets a large piece in bursts, and has room for more when all of it was written', async () => {
  const { output, written, takes, rooms } = play()
  const piece = parts(20)
  output.write(piece, false)
  assert.equal(output.offset, 20 * part)
  assert.deepEqual([written.length, output.full], [8, true])
  await takes()
  assert.deepEqual([written.length, output.full, rooms()], [16, true, 0])
  await takes()
  assert.deepEqual([written.length, output.full, rooms()], [20, true, 0])
  await takes()
  assert.deepEqual([output.full, rooms()], [false, 1])
  assert.deepEqual(written, piece)
})

test('what is let out while the client has no room follows in order', async () => {
  const { output, written, takes } = play()
  const chunks = parts(10)
  output.write(chunks.slice(0, 9), false)
  output.write(chunks.slice(9), false)
  assert.equal(written.length, 8)
  await takes()
  assert.deepEqual(written, chunks)
})

test('the end of a body does not wait for room, and what waits goes before it', () => {
  const { output, written } = play()
  const chunks = parts(12)
  output.write(chunks.slice(0, 11), false)
  output.write(chunks.slice(11), true)
  assert.deepEqual(written, chunks)
})

test('what was dropped is not written when the client takes on', async () => {
  const { output, written, takes } = play()
  output.write(parts(12), false)
  output.drop()
  await takes()
  assert.equal(written.length, 8)
})
