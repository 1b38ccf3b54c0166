import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeEnd, encodeFrame, FrameDecoder } from '../../lib/network/frames.ts'

const bodies = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 })

function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = []
  let at = 0
  for (let turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1
    pieces.push(bytes.subarray(at, at + size))
    at += size
  }
  return pieces
}

test('frames come out as they went in, however the stream is cut', () => {
  fc.assert(
    fc.property(bodies, fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1 }), (frames, sizes) => {
      const decoder = new FrameDecoder({ maxFrameSizeBytes: 300 })
      const bytes = Buffer.concat([...frames.map(encodeFrame), encodeEnd()])
      const out = cut(bytes, sizes).flatMap((piece) => decoder.push(piece))
      assert.deepEqual(out, frames)
      assert.equal(decoder.ended, true)
    }),
  )
})

test('random bytes yield frames within the bound or an error, never more', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 20 }), (pieces) => {
      const decoder = new FrameDecoder({ maxFrameSizeBytes: 50 })
      try {
        for (const piece of pieces) {
          for (const frame of decoder.push(piece)) assert.ok(frame.length <= 50)
        }
      } catch (error) {
        assert.match(String((error as { code?: string }).code), /FRAME_TOO_LARGE|WIRE_MALFORMED/)
      }
    }),
  )
})

test('a frame over the bound is refused by its length, before its bytes arrive', () => {
  const decoder = new FrameDecoder({ maxFrameSizeBytes: 10 })
  assert.throws(() => decoder.push(encodeFrame(new Uint8Array(11)).subarray(0, 4)), {
    code: 'FRAME_TOO_LARGE',
  })
})

test('frames that are too large together are refused', () => {
  const decoder = new FrameDecoder({ maxFrameSizeBytes: 10, maxTotalSizeBytes: 15 })
  decoder.push(encodeFrame(new Uint8Array(10)))
  assert.throws(() => decoder.push(encodeFrame(new Uint8Array(6))), { code: 'FRAME_TOO_LARGE' })
})

test('bytes after the end are refused', () => {
  const decoder = new FrameDecoder({ maxFrameSizeBytes: 10 })
  assert.throws(() => decoder.push(Buffer.concat([encodeEnd(), Uint8Array.of(1)])), {
    code: 'WIRE_MALFORMED',
  })
})

test('what follows the frames that were asked for stays, and can be taken back', () => {
  const decoder = new FrameDecoder({ maxFrameSizeBytes: 10 })
  const bytes = Buffer.concat([encodeFrame(Uint8Array.of(1)), Uint8Array.of(7, 8, 9)])
  assert.deepEqual(decoder.push(bytes, 1), [Uint8Array.of(1)])
  assert.equal(decoder.bufferedBytes, 3)
  assert.deepEqual(Array.from(decoder.takeRest()), [7, 8, 9])
  assert.equal(decoder.bufferedBytes, 0)
})
