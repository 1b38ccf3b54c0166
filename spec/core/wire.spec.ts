import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { StarlingError } from '../../lib/core/errors.ts'
import { FieldWriter, readFields, readVersioned } from '../../lib/core/wire.ts'

const isMalformed = (error: unknown) => error instanceof StarlingError && error.code === 'WIRE_MALFORMED'

describe('wire encoding', () => {
  it('gives back what was written', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.uint8Array({ maxLength: 50 }), fc.string(), (number, bytes, text) => {
        const encoded = new FieldWriter().uint(1, number).bytes(2, bytes).string(3, text).finishVersioned()
        const seen: unknown[] = []
        readVersioned(encoded, (field) => {
          if (field.number === 1) seen.push(field.uint())
          if (field.number === 2) seen.push(Uint8Array.from(field.bytes()))
          if (field.number === 3) seen.push(field.string(1000))
        })
        assert.deepEqual(seen, [number, bytes, text])
      }),
    )
  })

  it('skips fields that the reader does not know', () => {
    const nested = (writer: FieldWriter, value: number) => writer.uint(1, value)
    const encoded = new FieldWriter()
      .messages(99, [1, 2], (writer, value) => void nested(writer, value))
      .uint(98, 5)
      .uint(1, 7)
      .finish()
    const seen: number[] = []
    readFields(encoded, (field) => {
      if (field.number === 1) seen.push(field.uint())
    })
    assert.deepEqual(seen, [7])
  })

  it('refuses another version, a wrong type, a field that is too long and text that is not UTF-8', () => {
    const encoded = new FieldWriter().bytes(1, Uint8Array.of(0xff, 0xfe)).finishVersioned()
    assert.throws(() => readVersioned(encoded, () => undefined, 2), isMalformed)
    assert.throws(() => readVersioned(new Uint8Array(0), () => undefined), isMalformed)
    assert.throws(() => readVersioned(encoded, (field) => field.uint()), isMalformed)
    assert.throws(() => readVersioned(encoded, (field) => field.bytes(1)), isMalformed)
    assert.throws(() => readVersioned(encoded, (field) => field.fixedBytes(3)), isMalformed)
    assert.throws(() => readVersioned(encoded, (field) => field.string()), isMalformed)
  })

  it('meets any bytes with its own error or none', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          readFields(bytes, (field) => (field.number % 2 === 0 ? field.uint() : field.bytes(64)))
        } catch (error) {
          assert.ok(isMalformed(error))
        }
      }),
      { numRuns: 2000 },
    )
  })
})
