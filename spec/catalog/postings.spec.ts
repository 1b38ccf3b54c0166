import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { KeyTable } from '../../lib/catalog/key-table.ts'
import { Postings, postingColumns } from '../../lib/catalog/postings.ts'
import { sampleRanks } from '../../lib/catalog/sample.ts'
import { digestToBytes } from '../../lib/core/digest.ts'
import { seededRng } from '../sim/random.ts'
import { digestOf } from './support.ts'

describe('a table of keys', () => {
  it('finds what was put in and not what was released, like a map', () => {
    const key = (number: number) => digestToBytes(digestOf(`key ${number}`))
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.boolean(), fc.nat({ max: 400 })), { maxLength: 800 }),
        fc.integer(),
        (actions, seed) => {
          const table = new KeyTable(1, seed)
          const model = new Map<number, number>()
          for (const [put, number] of actions) {
            const known = model.get(number)
            if (put) {
              const id = table.intern(key(number))
              assert.equal(id, known ?? id)
              if (known === undefined) {
                assert.equal(table.get(id, 0), 0, 'columns of a new key are zero')
                assert.ok(![...model.values()].includes(id))
              }
              table.set(id, 0, number + 1)
              model.set(number, id)
            } else if (known !== undefined) {
              table.release(known)
              model.delete(number)
            }
          }
          assert.equal(table.size, model.size)
          for (let number = 0; number <= 400; number += 1) {
            const id = model.get(number)
            assert.equal(table.find(key(number)), id ?? -1)
            if (id !== undefined) assert.equal(table.get(id, 0), number + 1)
          }
        },
      ),
      { numRuns: 40 },
    )
  })

  it('keeps keys that share their place apart when one of them goes', () => {
    const table = new KeyTable(0, 0)
    const keys = Array.from({ length: 3000 }, (_, number) => {
      const bytes = new Uint8Array(32)
      new DataView(bytes.buffer).setUint32(28, number)
      return bytes
    })
    for (const key of keys) table.intern(key)
    for (const key of keys.filter((_, number) => number % 3 === 0)) table.release(table.find(key))
    for (const [number, key] of keys.entries()) assert.equal(table.find(key) >= 0, number % 3 !== 0)
  })

  it('orders keys as their bytes are ordered', () => {
    const table = new KeyTable(0, 9)
    const keys = Array.from({ length: 100 }, (_, number) => digestToBytes(digestOf(number)))
    const ids = keys.map((key) => table.intern(key)).sort((a, b) => table.compare(a, b))
    const expected = [...keys].sort(Buffer.compare).map((key) => table.find(key))
    assert.deepEqual(ids, expected)
  })
})

describe('postings', () => {
  const rng = seededRng(11)

  function setUp(): { postings: Postings; id: number } {
    const table = new KeyTable(postingColumns, 1)
    return { postings: new Postings(table), id: table.intern(digestToBytes(digestOf('x'))) }
  }

  it('hold a set of origins, few or many, near or far apart', () => {
    const origin = fc.oneof(fc.nat({ max: 40 }), fc.nat({ max: 65_534 }), fc.integer({ min: 900, max: 1200 }))
    fc.assert(
      fc.property(
        fc.array(origin, { maxLength: 400 }),
        fc.array(origin, { maxLength: 60 }),
        (toggles, masked) => {
          const { postings, id } = setUp()
          const model = new Set<number>()
          const mask = new Uint16Array(4096).fill(0xffff)
          for (const index of masked) mask[index >>> 4]! &= ~(1 << (index & 15))
          for (const index of toggles) {
            if (model.has(index)) postings.remove(id, index)
            else postings.add(id, index)
            if (!model.delete(index)) model.add(index)
          }
          const live = [...model].filter((index) => !masked.includes(index))
          assert.equal(postings.count(id), model.size)
          assert.deepEqual(new Set(postings.holders(id)), model)
          assert.equal(postings.countIn(id, mask), live.length)
          const all = postings.pick(id, mask, sampleRanks(live.length, live.length, rng))
          assert.deepEqual(new Set(all), new Set(live))
          const some = postings.sample(id, mask, live.length, Math.min(4, live.length), rng)
          assert.equal(new Set(some).size, Math.min(4, live.length))
          for (const index of some) assert.ok(live.includes(index))
        },
      ),
      { numRuns: 200 },
    )
  })

  it('grow dense and shrink again without a block being lost', () => {
    const { postings, id } = setUp()
    let peak = 0
    for (let round = 0; round < 5; round += 1) {
      for (let index = 0; index < 5000; index += 1) postings.add(id, index)
      for (let index = 0; index < 5000; index += 1) postings.remove(id, index)
      if (round === 0) peak = postings.sizeBytes
      assert.equal(postings.count(id), 0)
    }
    assert.equal(postings.sizeBytes, peak)
  })

  for (const [form, gap] of [
    ['a list', 10],
    ['a dense bitmap', 1],
    ['a sparse bitmap', 6],
  ] as const) {
    it(`of ${form} are sampled evenly`, () => {
      const { postings, id } = setUp()
      const mask = new Uint16Array(64).fill(0xffff)
      for (let index = 0; index < 100; index += 1) postings.add(id, index * gap)
      const seen = new Map<number, number>()
      for (let round = 0; round < 5000; round += 1) {
        const sampled = postings.sample(id, mask, 100, 2, rng)
        assert.equal(new Set(sampled).size, 2)
        for (const index of sampled) seen.set(index, (seen.get(index) ?? 0) + 1)
      }
      assert.equal(seen.size, 100)
      for (const count of seen.values()) assert.ok(count > 50 && count < 160, `${count} of about 100`)
    })
  }
})
