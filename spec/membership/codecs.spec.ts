import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { StarlingError } from '../../lib/core/errors.ts'
import { maxDatagramBodySizeBytes } from '../../lib/core/messaging.ts'
import { FieldWriter, readVersioned } from '../../lib/core/wire.ts'
import { packAddress, unpackAddress } from '../../lib/membership/address.ts'
import {
  decodeClaims,
  decodeRecords,
  decodeRegistries,
  decodeRequest,
  encodeClaims,
  encodeRecords,
  encodeRegistries,
  encodeRequest,
} from '../../lib/membership/exchange.ts'
import {
  type Claim,
  decodeMessage,
  encodeMessage,
  maxClaimSizeBytes,
  maxHeadSizeBytes,
} from '../../lib/membership/messages.ts'
import { hashRegistries, maxRecordSizeBytes, readRecord, signRecord } from '../../lib/membership/record.ts'
import { decodeSnapshot, encodeSnapshot } from '../../lib/membership/snapshot.ts'
import type { StateCode } from '../../lib/membership/states.ts'
import { makeIdentity, makeRecord, makeSigned } from './fixtures.ts'

const hex = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((value) => Buffer.from(value).toString('hex'))
const voices = fc.oneof(
  fc.constant({}),
  fc.array(hex(8), { minLength: 1, maxLength: 4 }).map((accusers) => ({ accusers })),
  fc.array(hex(8), { minLength: 2, maxLength: 4 }).map((accusers) => ({ accusers, refused: 2 })),
)
const claims: fc.Arbitrary<Claim> = fc
  .record(
    {
      shortId: hex(8),
      incarnation: fc.nat(2 ** 31 - 1),
      state: fc.constantFrom<StateCode>(1, 2, 3, 4, 5),
      hash: hex(16),
    },
    { noNullPrototype: true },
  )
  .chain((claim) => voices.map((said) => ({ ...claim, ...said })))
const decoders: Record<string, (bytes: Uint8Array) => unknown> = {
  decodeMessage,
  decodeRequest,
  decodeClaims,
  decodeRecords,
  decodeRegistries,
  decodeSnapshot,
  readRecord,
}
const codes = ['WIRE_MALFORMED', 'FRAME_TOO_LARGE']

test('every decoder answers random bytes with a value or its own error', () => {
  for (const [name, decode] of Object.entries(decoders)) {
    const property = fc.property(fc.uint8Array({ maxLength: 1500 }), fc.boolean(), (bytes, isVersioned) => {
      if (isVersioned && bytes.length > 0) bytes[0] = 1
      try {
        decode(bytes)
      } catch (error) {
        assert.ok(error instanceof StarlingError && codes.includes(error.code), `${name}: ${error}`)
      }
    })
    fc.assert(property, { numRuns: 300 })
  }
})

test('messages survive the wire; thirteen rumours with four accusers fit, and sixteen with one, each within 80 bytes', () => {
  const message = fc.record(
    {
      type: fc.integer({ min: 1, max: 15 }),
      sequence: fc.nat(2 ** 32 - 1),
      incarnation: fc.nat(2 ** 31 - 1),
      hash: hex(16),
      target: hex(8),
      claims: fc.array(claims, { maxLength: 13 }),
    },
    { noNullPrototype: true },
  )
  fc.assert(fc.property(message, (value) => assert.deepEqual(decodeMessage(encodeMessage(value)), value)))
  const largest = (accusers: number): Claim => ({
    shortId: 'ff'.repeat(8),
    incarnation: 2 ** 32 - 1,
    state: 5,
    hash: 'ff'.repeat(16),
    ...(accusers === 0 ? {} : { accusers: new Array<string>(accusers).fill('ff'.repeat(8)), refused: 1 }),
  })
  const bodyOf = (count: number, claim: Claim) =>
    encodeMessage({
      type: 15,
      sequence: 2 ** 32 - 1,
      incarnation: 2 ** 32 - 1,
      hash: 'ff'.repeat(16),
      target: 'ff'.repeat(8),
      clockMs: 2 ** 48,
      claims: new Array<Claim>(count).fill(claim),
    })
  assert.equal(bodyOf(0, largest(0)).length, maxHeadSizeBytes)
  for (const [accusers, count] of [
    [0, 16],
    [1, 16],
    [4, 13],
  ] as const) {
    const claim = largest(accusers)
    assert.ok(maxClaimSizeBytes(claim) <= 80)
    assert.equal(bodyOf(1, claim).length, maxHeadSizeBytes + maxClaimSizeBytes(claim))
    assert.ok(bodyOf(count, claim).length <= maxDatagramBodySizeBytes)
  }
})

test('accusers beyond four are left out, and more refusals than accusers are none; halves of a name are malformed', () => {
  const claimWith = (others: number, refused: number, accuser = 8) =>
    new FieldWriter()
      .bytes(1, new Uint8Array(8))
      .uint(3, 2)
      .bytes(4, new Uint8Array(16))
      .bytes(5, accuser === 0 ? undefined : new Uint8Array(accuser))
      .uint(6, refused)
      .bytes(7, new Uint8Array(others))
  const read = (claim: FieldWriter) => {
    const message = new FieldWriter().uint(1, 5).bytes(4, new Uint8Array(16)).bytes(6, claim.finish())
    return decodeMessage(message.finishVersioned()).claims[0]
  }
  assert.equal(read(claimWith(56, 1))?.accusers?.length, 4)
  assert.equal(read(claimWith(8, 9))?.refused, 2)
  assert.equal(read(claimWith(0, 1))?.accusers?.length, 1)
  assert.equal(read(claimWith(0, 1, 0))?.refused, undefined)
  for (const [others, accuser] of [
    [12, 8],
    [0, 16],
  ] as const)
    assert.throws(() => read(claimWith(others, 0, accuser)), { code: 'WIRE_MALFORMED' })
})

test('unknown fields of a message are skipped, rumours of an unknown state left out', () => {
  const body = new FieldWriter()
    .uint(1, 1)
    .uint(2, 7)
    .bytes(4, new Uint8Array(16))
    .bytes(6, new FieldWriter().bytes(1, new Uint8Array(8)).uint(3, 9).bytes(4, new Uint8Array(16)).finish())
    .string(30, 'later')
    .finishVersioned()
  assert.deepEqual(decodeMessage(body).claims, [])
  assert.equal(decodeMessage(body).sequence, 7)
})

test('a record is kept verbatim with fields of a later version, and any changed byte is noticed', () => {
  const { peerId, key } = makeIdentity()
  const p2p = [
    { host: '10.1.2.3', port: 5001 },
    { host: 'fd00::1', port: 5001 },
  ]
  const signed = signRecord(makeRecord(peerId, { p2p, sequence: 2 ** 45 }), key)
  const read = readRecord(signed.bytes)
  assert.deepEqual(read.record, signed.record)
  assert.equal(read.hash, signed.hash)
  const extended = Buffer.concat([signed.bytes, new FieldWriter().string(20, 'later').finish()])
  assert.deepEqual(Buffer.from(readRecord(extended).bytes), extended)
  assert.notEqual(readRecord(extended).hash, signed.hash)
  for (let at = 0; at < signed.bytes.length; at++) {
    const changed = Uint8Array.from(signed.bytes)
    changed[at]! ^= 1
    assert.throws(() => readRecord(changed), { name: 'StarlingError' }, `byte ${at}`)
  }
})

test('a record that another key has signed is refused', () => {
  const { privateKey } = generateKeyPairSync('ed25519')
  const forged = signRecord(makeRecord(makeIdentity().peerId), privateKey)
  assert.throws(() => readRecord(forged.bytes), { code: 'WIRE_MALFORMED' })
})

test('a record has at most 600 bytes, and says what to shorten', () => {
  const typical = makeSigned({ name: 'n'.repeat(63), zone: 'europe-west1-b', registriesCount: 2000 })
  assert.ok(typical.bytes.length <= maxRecordSizeBytes)
  assert.throws(() => makeSigned({ name: 'n'.repeat(250), zone: 'z'.repeat(250) }), {
    code: 'FRAME_TOO_LARGE',
  })
  assert.throws(() => readRecord(new Uint8Array(601)), { code: 'FRAME_TOO_LARGE' })
})

test('addresses survive packing in the form of RFC 5952', () => {
  fc.assert(fc.property(fc.ipV4(), (host) => assert.equal(unpackAddress(packAddress(host)), host)))
  fc.assert(
    fc.property(fc.ipV6(), (host) => {
      const text = unpackAddress(packAddress(host))
      assert.deepEqual(packAddress(text), packAddress(host))
      assert.equal(new URL(`http://[${host}]/`).hostname, `[${text}]`)
    }),
  )
  for (const wrong of [
    '',
    'localhost',
    '1.2.3',
    '1.2.3.256',
    '::1::',
    ':::',
    '1:2:3:4:5:6:7',
    'fe80::1%eth0',
    '12345::',
  ])
    assert.throws(() => packAddress(wrong), { code: 'WIRE_MALFORMED' }, wrong)
})

test('exchange frames survive the wire and are bounded', () => {
  const many = Array.from({ length: 2500 }, (_, index): Claim => {
    const shortId = index.toString(16).padStart(16, '0')
    return { shortId, incarnation: index, state: 1, hash: shortId.repeat(2) }
  })
  const frames = [...encodeClaims(many)]
  assert.equal(frames.length, 3)
  assert.deepEqual(frames.flatMap(decodeClaims), many)
  assert.deepEqual([...encodeClaims([])].flatMap(decodeClaims), [])
  const hashes = many.slice(0, 64).map(({ hash }) => hash)
  for (const request of [
    { kind: 'state' },
    { kind: 'push', claims: many.slice(0, 1000) },
    { kind: 'records', hashes },
    { kind: 'registries', hash: 'ab'.repeat(32) },
  ] as const)
    assert.deepEqual(decodeRequest(encodeRequest(request)), request)
  assert.throws(() => decodeRequest(encodeRequest({ kind: 'records', hashes: [...hashes, hashes[0]!] })))
  assert.throws(() => decodeRequest(encodeRequest({ kind: 'push', claims: many })), {
    code: 'FRAME_TOO_LARGE',
  })
  assert.equal(decodeRequest(new FieldWriter().uint(1, 9).finishVersioned()), undefined)
  const records = Array.from({ length: 20 }, (_, index) => ({
    record: Buffer.alloc(600, index),
    attestation: Buffer.alloc(2000, index),
  }))
  const answer = [...encodeRecords(records)]
  assert.equal(answer.length, 3)
  assert.equal(answer.flatMap(decodeRecords).length, 20)
  assert.deepEqual(decodeRegistries(encodeRegistries(['a.io', 'b.io:5000'])), ['a.io', 'b.io:5000'])
})

test('the hash of registries does not depend on their order', () => {
  assert.deepEqual(hashRegistries(['b', 'a']), hashRegistries(['a', 'b']))
  assert.notDeepEqual(hashRegistries(['a', 'b']), hashRegistries(['ab']))
})

test('a snapshot survives the disk, and one flipped bit anywhere is noticed', () => {
  const member = { record: makeSigned().bytes, attestation: Buffer.from('proof') }
  const snapshot = { sequence: 2 ** 45, incarnation: 9, members: [member, member] }
  const bytes = encodeSnapshot(snapshot)
  const read = decodeSnapshot(bytes)
  assert.equal(read.sequence, snapshot.sequence)
  assert.equal(read.incarnation, 9)
  assert.deepEqual(Buffer.from(read.members[1]!.record), Buffer.from(member.record))
  for (let at = 0; at < bytes.length; at += 7) {
    const changed = Uint8Array.from(bytes)
    changed[at]! ^= 0x10
    assert.throws(() => decodeSnapshot(changed), { code: 'WIRE_MALFORMED' })
  }
  for (const size of [0, 1, 31, 32, bytes.length - 1])
    assert.throws(() => decodeSnapshot(bytes.subarray(0, size)), { code: 'WIRE_MALFORMED' })
})

test('every frame begins with the version byte, and another version is refused', () => {
  for (const frame of [makeSigned().bytes, encodeRequest({ kind: 'state' }), ...encodeClaims([])]) {
    const other = Uint8Array.from(frame)
    other[0] = 2
    assert.throws(() => readVersioned(other, () => undefined), /unknown version 2/)
  }
})
