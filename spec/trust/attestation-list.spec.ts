import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { StarlingError } from '../../lib/core/errors.ts'
import { decodeAttestationList, encodeAttestationList } from '../../lib/trust/attestation-list.ts'

const refused = (error: unknown) => error instanceof StarlingError && error.code === 'WIRE_MALFORMED'

test('what is encoded is decoded, and any change or cut is noticed', () => {
  const lists = fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 8 })
  fc.assert(
    fc.property(lists, fc.nat(), fc.integer({ min: 1, max: 255 }), (list, where, by) => {
      const bytes = encodeAttestationList(list)
      assert.deepEqual(
        decodeAttestationList(bytes, 8).map((one) => Buffer.from(one)),
        list.map((one) => Buffer.from(one)),
      )
      const at = where % bytes.length
      const changed = Buffer.from(bytes)
      changed[at] = (changed[at] as number) ^ by
      assert.throws(() => decodeAttestationList(changed, 8), refused)
      assert.throws(() => decodeAttestationList(bytes.subarray(0, at), 8), refused)
    }),
  )
})

test('more entries than allowed, and well-summed garbage, are refused', () => {
  assert.throws(
    () => decodeAttestationList(encodeAttestationList([new Uint8Array(1), new Uint8Array(2)]), 1),
    refused,
  )
  assert.throws(() => decodeAttestationList(encodeAttestationList([new Uint8Array(16_385)]), 1), refused)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (random) => {
      const body = Uint8Array.of(1, 0xff, ...random)
      const summed = Buffer.concat([createHash('sha256').update(body).digest(), body])
      try {
        decodeAttestationList(summed, 10)
      } catch (error) {
        assert.ok(refused(error))
      }
    }),
  )
})
