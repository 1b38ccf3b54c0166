import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  type ChunkMap,
  ChunkMapMaker,
  chunkMapKey,
  decodeChunkMap,
  encodeChunkMap,
  pieceSizeBytes,
} from '../../../lib/core/chunk-map.ts'
import { BufferPool } from '../../../lib/registry/buffer-pool.ts'
import { edgesOf, PieceCheck } from '../../../lib/registry/chunk-maps/piece-check.ts'
import { digestOf } from '../harness.ts'

const sizeBytes = 3 * pieceSizeBytes + 4321
const blob = createHash('shake256', { outputLength: sizeBytes }).update('blob').digest()
const digest = digestOf(blob)

function mapOf(bytes: Uint8Array, chunkSize = 100_000): ChunkMap | undefined {
  const maker = new ChunkMapMaker(digest)
  for (let at = 0; at < bytes.length; at += chunkSize) maker.update(bytes.subarray(at, at + chunkSize))
  return maker.finish()
}

const map = mapOf(blob) as ChunkMap
const memory = new BufferPool(pieceSizeBytes, 4)

function checkOf(start: number, end: number): PieceCheck {
  const body = { sizeBytes, start, end }
  const { before, after } = edgesOf(body)
  const edges = {
    before: blob.subarray(before.start, before.end),
    after: blob.subarray(after.start, after.end),
  }
  return new PieceCheck(body, map, edges, memory)
}

test('a map is the same whatever the chunks it was made from, and survives its encoding', () => {
  fc.assert(
    fc.property(fc.integer({ min: 50_000, max: 3_000_000 }), (chunkSize) => {
      const made = mapOf(blob, chunkSize) as ChunkMap
      const decoded = decodeChunkMap(encodeChunkMap(made), digest)
      assert.equal(chunkMapKey(decoded), chunkMapKey(map))
    }),
    { numRuns: 5 },
  )
})

test('the memory of a piece is used again by the next check', () => {
  const pool = new BufferPool(pieceSizeBytes, 4)
  const body = { sizeBytes, start: 0, end: sizeBytes - 1 }
  const none = new Uint8Array()
  const check = new PieceCheck(body, map, { before: none, after: none }, pool)
  check.pass(blob.subarray(0, 100_000))
  assert.equal(pool.idle, 0)
  check.end()
  check.end()
  assert.equal(pool.idle, 1)
})

test('bytes that are not those of the digest have no map', () => {
  const other = Buffer.from(blob)
  other[77] = (other[77] ?? 0) ^ 1
  assert.equal(mapOf(other), undefined)
})

test('bytes that are no map of the digest are refused, whatever they are', () => {
  const good = Buffer.from(encodeChunkMap(map))
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const bad = Buffer.from(good)
      bad[at] = (bad[at] ?? 0) ^ change
      try {
        assert.notEqual(chunkMapKey(decodeChunkMap(bad, digest)), chunkMapKey(map))
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'WIRE_MALFORMED')
      }
      assert.throws(() => decodeChunkMap(good.subarray(0, at), digest), { code: 'WIRE_MALFORMED' })
    }),
    { numRuns: 60 },
  )
  assert.throws(() => decodeChunkMap(good, digestOf(Buffer.from('another'))), { code: 'WIRE_MALFORMED' })
})

/** Hands bytes over in chunks of any size and flips some; after bad news the right bytes come from there on. */
const scenario = fc.record({
  range: fc.tuple(fc.nat(sizeBytes - 1), fc.nat(sizeBytes - 1)),
  whole: fc.boolean(),
  chunks: fc.array(fc.integer({ min: 200, max: 1_500_000 }), { minLength: 1, maxLength: 8 }),
  flips: fc.array(fc.nat(sizeBytes - 1), { maxLength: 4 }),
})

test('whatever is flipped and however it is cut, only right bytes leave, all of them, each once', () => {
  fc.assert(
    fc.property(scenario, ({ range, whole, chunks, flips }) => {
      const [start, end] = whole ? [0, sizeBytes - 1] : [Math.min(...range), Math.max(...range)]
      const check = checkOf(start, end)
      const pending = new Set(flips.filter((at) => at >= start && at <= end))
      const hits = pending.size
      const out: Uint8Array[] = []
      let outAt = start
      let bad = 0
      for (let at = start, turn = 0; at <= end; turn++) {
        const chunk = Buffer.from(
          blob.subarray(at, Math.min(end + 1, at + (chunks[turn % chunks.length] ?? 1))),
        )
        for (const flip of pending) {
          if (flip < at || flip >= at + chunk.length) continue
          chunk[flip - at] = (chunk[flip - at] ?? 0) ^ 0x10
          pending.delete(flip)
        }
        at += chunk.length
        const outcome = check.pass(chunk)
        if ('free' in outcome) {
          for (const part of outcome.free) {
            assert.ok(Buffer.from(part).equals(blob.subarray(outAt, outAt + part.length)))
            outAt += part.length
            out.push(part)
          }
        } else {
          bad++
          assert.equal(outcome.wrongFrom, outAt, 'it goes on where the client has got to')
          at = outAt
        }
      }
      assert.deepEqual(check.finish(), { free: [] })
      assert.equal(outAt, end + 1)
      assert.ok(hits === 0 ? bad === 0 : bad >= 1)
    }),
    { numRuns: 40 },
  )
})

test('a body that ends before its last piece is whole is wrong from that piece on', () => {
  const check = checkOf(0, sizeBytes - 1)
  check.pass(blob.subarray(0, 2 * pieceSizeBytes + 5))
  assert.equal((check.finish() as { wrongFrom: number }).wrongFrom, 2 * pieceSizeBytes)
})

test('a piece that comes a byte at a time is held in few parts', () => {
  const check = checkOf(0, pieceSizeBytes - 1)
  let parts: readonly Uint8Array[] = []
  for (let at = 0; at < pieceSizeBytes; at++) {
    const outcome = check.pass(blob.subarray(at, at + 1))
    assert.ok('free' in outcome)
    parts = outcome.free
  }
  assert.ok(parts.length > 0 && parts.length <= 1024)
  assert.ok(Buffer.concat(parts).equals(blob.subarray(0, pieceSizeBytes)))
})
