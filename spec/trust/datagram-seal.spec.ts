import assert from 'node:assert/strict'
import { createCipheriv, randomBytes, sign } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Keyring } from '../../lib/core/credentials.ts'
import { StarlingError } from '../../lib/core/errors.ts'
import { maxDatagramBodySizeBytes, maxDatagramSizeBytes } from '../../lib/core/messaging.ts'
import type { PeerId } from '../../lib/core/peer-id.ts'
import { datagramKey, keyIdOf, nonceOf, signedText, writeHeader } from '../../lib/trust/datagram-format.ts'
import { DatagramOpener, DatagramSealer } from '../../lib/trust/datagram-seal.ts'
import { makeIdentityPem, readIdentity } from '../../lib/trust/identity.ts'
import { deriveKey, makePsk } from '../../lib/trust/keyring.ts'

const identity = readIdentity(makeIdentityPem())
const stranger = readIdentity(makeIdentityPem())
const ring: Keyring = [makePsk(randomBytes(32))]
const body = Buffer.from('ping')

function sealer(keyring: Keyring = ring, options: { who?: typeof identity; maxCounter?: number } = {}) {
  const { who = identity, ...rest } = options
  const keys = { publicKey: who.publicKey, privateKey: who.privateKey }
  return new DatagramSealer({ ...keys, keyring: () => keyring, bootSalt: randomBytes(16), ...rest })
}

function opener(keyring: Keyring = ring, attested: readonly PeerId[] = [identity.peerId]) {
  return new DatagramOpener({ keyring: () => keyring, isAttested: (peerId) => attested.includes(peerId) })
}

describe('datagram seal', () => {
  test('what an attested sender seals is opened with its PeerId, whatever the size up to the bound', () => {
    const [from, to] = [sealer(), opener()]
    for (const size of [0, 1, 300, maxDatagramBodySizeBytes]) {
      const sent = randomBytes(size)
      const datagram = from.seal(sent)
      assert.ok(datagram.length <= maxDatagramSizeBytes)
      const opened = to.open(datagram)
      assert.ok(opened.ok)
      assert.equal(opened.from, identity.peerId)
      assert.deepEqual(Buffer.from(opened.body), sent)
    }
  })

  test('a body that would not fit is refused at sealing', () => {
    assert.throws(
      () => sealer().seal(new Uint8Array(maxDatagramSizeBytes)),
      (error) => error instanceof StarlingError && error.code === 'FRAME_TOO_LARGE',
    )
  })

  test('neither body nor signature can be read without the PSK, and no two datagrams are alike', () => {
    const from = sealer()
    const [first, second] = [from.seal(body), from.seal(body)]
    assert.equal(Buffer.from(first).includes(body), false)
    assert.notDeepEqual(Buffer.from(first).subarray(61), Buffer.from(second).subarray(61))
  })

  test('the PSK alone opens nothing: a PeerId that is not attested is dropped', () => {
    assert.deepEqual(opener().open(sealer(ring, { who: stranger }).seal(body)), {
      ok: false,
      reason: 'unattested',
    })
  })

  test('a holder of the PSK cannot speak for an attested PeerId', () => {
    const forger = new DatagramSealer({
      publicKey: identity.publicKey,
      privateKey: stranger.privateKey,
      keyring: () => ring,
      bootSalt: randomBytes(16),
    })
    assert.deepEqual(opener().open(forger.seal(body)), { ok: false, reason: 'bad-signature' })
  })

  test('a datagram is opened once, in any order within the window', () => {
    const [from, to] = [sealer(), opener()]
    const sent = Array.from({ length: 40 }, () => from.seal(body)).reverse()
    for (const datagram of sent) assert.equal(to.open(datagram).ok, true)
    for (const datagram of sent) assert.deepEqual(to.open(datagram), { ok: false, reason: 'replayed' })
  })

  test('what is older than the window counts as replayed', () => {
    const [from, to] = [sealer(), opener()]
    const old = from.seal(body)
    for (let sent = 0; sent < 600; sent += 1) assert.equal(to.open(from.seal(body)).ok, true)
    assert.deepEqual(to.open(old), { ok: false, reason: 'replayed' })
  })

  test('a sender that restarted is heard at once, and its datagrams from before are still not opened twice', () => {
    const to = opener()
    const before = sealer().seal(body)
    assert.equal(to.open(before).ok, true)
    for (let boot = 0; boot < 3; boot += 1) assert.equal(to.open(sealer().seal(body)).ok, true)
    assert.deepEqual(to.open(before), { ok: false, reason: 'replayed' })
  })

  test('old boots played back do not silence the boot of today', () => {
    const to = opener()
    const recorded = Array.from({ length: 10 }, () => sealer().seal(body))
    const today = sealer()
    assert.equal(to.open(today.seal(body)).ok, true)
    for (const datagram of recorded) to.open(datagram)
    assert.equal(to.open(today.seal(body)).ok, true)
  })

  test('a node does not take its own datagrams back', () => {
    const to = new DatagramOpener({ keyring: () => ring, isAttested: () => true, self: identity.peerId })
    assert.deepEqual(to.open(sealer().seal(body)), { ok: false, reason: 'replayed' })
  })

  test('the salt changes before the counter runs out', () => {
    const [from, to] = [sealer(ring, { maxCounter: 3 }), opener()]
    const salts = new Set<string>()
    for (let sent = 0; sent < 9; sent += 1) {
      const datagram = from.seal(body)
      salts.add(Buffer.from(datagram.subarray(37, 53)).toString('hex'))
      assert.equal(to.open(datagram).ok, true)
    }
    assert.equal(salts.size, 3)
  })

  test('every key of the ring opens, the first one seals, and a key that was dropped is unknown', () => {
    const next = makePsk(randomBytes(32))
    let sending: Keyring = ring
    let accepting: Keyring = [...ring, next]
    const keys = { publicKey: identity.publicKey, privateKey: identity.privateKey }
    const from = new DatagramSealer({ ...keys, keyring: () => sending, bootSalt: randomBytes(16) })
    const to = new DatagramOpener({ keyring: () => accepting, isAttested: () => true })
    assert.equal(to.open(from.seal(body)).ok, true)
    sending = [next, ...ring]
    assert.equal(to.open(from.seal(body)).ok, true)
    accepting = [next]
    assert.equal(to.open(from.seal(body)).ok, true)
    sending = ring
    assert.deepEqual(to.open(from.seal(body)), { ok: false, reason: 'unknown-key' })
  })

  test('a PSK with the same id but other bytes unseals nothing', () => {
    const same: Keyring = [{ id: ring[0].id, key: randomBytes(32) }]
    assert.deepEqual(opener(same).open(sealer().seal(body)), { ok: false, reason: 'unsealed' })
  })

  test('the bytes on the wire are those of the documented format', () => {
    const salt = Buffer.alloc(16, 7)
    const keys = { publicKey: identity.publicKey, privateKey: identity.privateKey }
    const datagram = Buffer.from(
      new DatagramSealer({ ...keys, keyring: () => ring, bootSalt: salt }).seal(body),
    )
    const header = Buffer.concat([
      Buffer.from([1]),
      Buffer.from(ring[0].id, 'hex'),
      identity.publicKey,
      salt,
      Buffer.alloc(8),
    ])
    assert.deepEqual(datagram.subarray(0, 61), header)
    const key = deriveKey(ring[0], 'datagram', { salt, context: identity.publicKey, sizeBytes: 32 })
    const cipher = createCipheriv('aes-256-gcm', key, Buffer.alloc(12))
    const zeros = cipher.update(Buffer.alloc(64 + body.length))
    const plain = datagram.subarray(61, -16).map((byte, index) => byte ^ (zeros[index] as number))
    assert.deepEqual(Buffer.from(plain.subarray(64)), body)
  })

  test('a change of any byte is noticed and leaves no trace', () => {
    const [from, to] = [sealer(), opener()]
    const datagram = from.seal(randomBytes(100))
    for (let at = 0; at < datagram.length; at += 1) {
      for (const by of [1, 0x80, 0xff]) {
        const changed = Buffer.from(datagram)
        changed[at] = (changed[at] as number) ^ by
        assert.equal(to.open(changed).ok, false)
      }
    }
    assert.equal(to.open(datagram).ok, true)
  })

  test('truncated, oversized and random bytes are dropped with their reason', () => {
    const [from, to] = [sealer(), opener()]
    const datagram = from.seal(randomBytes(50))
    for (let length = 0; length < datagram.length; length += 1) {
      const opened = to.open(datagram.subarray(0, length))
      assert.ok(!opened.ok)
      assert.ok(opened.reason === 'truncated' || opened.reason === 'unsealed')
    }
    assert.deepEqual(to.open(new Uint8Array(1201)), { ok: false, reason: 'oversized' })
    assert.deepEqual(to.open(new Uint8Array(500)), { ok: false, reason: 'version' })
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1300 }), (random) => {
        assert.equal(to.open(random).ok, false)
        const framed = Buffer.concat([datagram.subarray(0, 53), random])
        assert.equal(to.open(framed).ok, false)
      }),
      { numRuns: 300 },
    )
  })

  test('a counter that a number cannot hold is dropped, even where it is well sealed', () => {
    const to = opener()
    for (const counter of [2 ** 53, 2 ** 60, 2 ** 60 + 4096]) {
      const salt = randomBytes(16)
      const header = writeHeader({ keyId: keyIdOf(ring[0]), publicKey: identity.publicKey, salt, counter })
      const signature = sign(null, signedText(header, body), identity.privateKey)
      const key = datagramKey(ring[0], identity.publicKey, salt)
      const cipher = createCipheriv('aes-256-gcm', key, nonceOf(header)).setAAD(header)
      const sealed = Buffer.concat([cipher.update(signature), cipher.update(body), cipher.final()])
      const datagram = Buffer.concat([header, sealed, cipher.getAuthTag()])
      assert.deepEqual(to.open(datagram), { ok: false, reason: 'replayed' })
    }
  })

  test('strangers cannot push out what is known of members', () => {
    const to = new DatagramOpener({ keyring: () => ring, isAttested: () => true, maxSenders: 2 })
    const datagram = sealer().seal(body)
    assert.equal(to.open(datagram).ok, true)
    for (let sent = 0; sent < 50; sent += 1) {
      const forged = Buffer.from(datagram)
      forged.set(randomBytes(48), 5)
      assert.deepEqual(to.open(forged), { ok: false, reason: 'unsealed' })
    }
    assert.deepEqual(to.open(datagram), { ok: false, reason: 'replayed' })
  })
})
