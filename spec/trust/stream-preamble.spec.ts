import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { makePsk } from '../../lib/trust/keyring.ts'
import {
  deriveStreamKeys,
  makeDialerPreamble,
  makeListenerPreamble,
  preambleSizeBytes,
  readDialerPreamble,
  readListenerPreamble,
} from '../../lib/trust/stream-preamble.ts'

const [first, second, foreign] = [32, 40, 32].map((size) => makePsk(randomBytes(size))) as [
  ReturnType<typeof makePsk>,
  ReturnType<typeof makePsk>,
  ReturnType<typeof makePsk>,
]
const dialerSalt = randomBytes(16)
const listenerSalt = randomBytes(16)

describe('stream preamble', () => {
  test('a listener with two keys knows which one the dialler means, and both derive the same stream keys', () => {
    for (const psk of [first, second]) {
      const hello = makeDialerPreamble(psk, dialerSalt)
      assert.equal(hello.length, preambleSizeBytes)
      const read = readDialerPreamble([first, second], hello)
      assert.equal(read?.psk, psk)
      assert.deepEqual(Buffer.from(read?.salt ?? []), dialerSalt)
      const answer = makeListenerPreamble(psk, dialerSalt, listenerSalt)
      assert.equal(answer.length, preambleSizeBytes)
      const salt = readListenerPreamble(psk, dialerSalt, answer)
      assert.deepEqual(Buffer.from(salt ?? []), listenerSalt)
    }
  })

  test('a PSK that is not in the ring is noticed by either side', () => {
    assert.equal(readDialerPreamble([first, second], makeDialerPreamble(foreign, dialerSalt)), undefined)
    const answer = makeListenerPreamble(foreign, dialerSalt, listenerSalt)
    assert.equal(readListenerPreamble(first, dialerSalt, answer), undefined)
  })

  test('an answer does not fit another hello, and a hello is no answer', () => {
    const answer = makeListenerPreamble(first, randomBytes(16), listenerSalt)
    assert.equal(readListenerPreamble(first, dialerSalt, answer), undefined)
    const hello = makeDialerPreamble(first, dialerSalt)
    assert.equal(readListenerPreamble(first, dialerSalt, hello), undefined)
  })

  test('any changed byte, another size and random bytes are refused', () => {
    const hello = makeDialerPreamble(first, dialerSalt)
    const answer = makeListenerPreamble(first, dialerSalt, listenerSalt)
    for (let at = 0; at < preambleSizeBytes; at += 1) {
      for (const bytes of [hello, answer]) {
        const changed = Buffer.from(bytes)
        changed[at] = (changed[at] as number) ^ 1
        assert.equal(readDialerPreamble([first], changed), undefined)
        assert.equal(readListenerPreamble(first, dialerSalt, changed), undefined)
      }
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70 }), (random) => {
        assert.equal(readDialerPreamble([first, second], random), undefined)
        assert.equal(readListenerPreamble(first, dialerSalt, Uint8Array.of(1, ...random)), undefined)
      }),
    )
  })

  test('each direction, salt and PSK has a key of its own', () => {
    const keys = [
      deriveStreamKeys(first, dialerSalt, listenerSalt),
      deriveStreamKeys(second, dialerSalt, listenerSalt),
      deriveStreamKeys(first, listenerSalt, dialerSalt),
      deriveStreamKeys(first, dialerSalt, randomBytes(16)),
    ].flatMap(({ dialerToListener, listenerToDialer }) => [dialerToListener, listenerToDialer])
    for (const { key, iv } of keys) assert.deepEqual([key.length, iv.length], [32, 16])
    assert.equal(new Set(keys.map(({ key }) => Buffer.from(key).toString('hex'))).size, keys.length)
    assert.equal(new Set(keys.map(({ iv }) => Buffer.from(iv).toString('hex'))).size, keys.length)
  })

  test('a salt of the wrong size is a defect of the caller', () => {
    assert.throws(() => makeDialerPreamble(first, new Uint8Array(15)), RangeError)
  })
})
