import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { StarlingError } from '../../lib/core/errors.ts'
import { deriveKey, findKey, formatKeyring, makePsk, parseKeyring } from '../../lib/trust/keyring.ts'

const hex = randomBytes(32).toString('hex')

function messageOf(text: string): string {
  try {
    parseKeyring(text, '/etc/psk')
  } catch (error) {
    assert.ok(error instanceof StarlingError, String(error))
    assert.equal(error.code, 'TRUST_FILE_INVALID')
    return error.format()
  }
  assert.fail('the text was accepted')
}

describe('keyring', () => {
  test('hexadecimal digits and base64 are read, with comments, blank lines and any line ends', () => {
    const second = randomBytes(48)
    const third = randomBytes(33)
    const text = `\uFEFF# ours\r\n${hex.toUpperCase()}  # new\r\n\r\n${second.toString('base64')}\n${third.toString('base64url')}`
    const keyring = parseKeyring(text, 'psk')
    assert.deepEqual(
      keyring.map((psk) => Buffer.from(psk.key)),
      [Buffer.from(hex, 'hex'), second, third],
    )
  })

  test('the id is the start of the hash of the key, and finds it', () => {
    const keyring = parseKeyring(`${hex}\n${randomBytes(32).toString('hex')}\n`, 'psk')
    assert.match(keyring[1]?.id ?? '', /^[0-9a-f]{8}$/)
    assert.equal(findKey(keyring, keyring[1]?.id ?? ''), keyring[1])
    assert.equal(findKey(keyring, 'ffffffffff'), undefined)
  })

  test('what is written is read back', () => {
    const keys = fc.uniqueArray(fc.uint8Array({ minLength: 32, maxLength: 64 }), {
      minLength: 1,
      maxLength: 5,
      selector: (key) => makePsk(key).id,
    })
    fc.assert(
      fc.property(keys, (list) => {
        const [first, ...rest] = list.map(makePsk)
        assert.ok(first !== undefined)
        assert.deepEqual(parseKeyring(formatKeyring([first, ...rest]), 'psk'), [first, ...rest])
      }),
    )
  })

  test('a PSK under 32 bytes is refused with its line', () => {
    const expected =
      '/etc/psk:2: the PSK has 31 bytes, not at least 32; make a key with: openssl rand -hex 32'
    assert.equal(messageOf(`# short\n${'ab'.repeat(31)}`), expected)
    assert.match(messageOf('ab'.repeat(24)), /24 bytes/)
    assert.match(messageOf(randomBytes(31).toString('base64')), /31 bytes/)
    assert.match(messageOf('secret'), /bytes, not at least 32/)
    assert.throws(() => makePsk(new Uint8Array(31)), { code: 'TRUST_FILE_INVALID' })
  })

  test('each other fault has its own message, and none shows the key', () => {
    const texts: [string, RegExp][] = [
      ['', /holds no PSK/],
      ['# only a comment\n', /holds no PSK/],
      [`${hex}a`, /odd number/],
      [`${hex}!`, /neither hexadecimal digits nor base64/],
      ['key with spaces in it', /neither/],
      [`${hex}\n${hex}`, /:2: the PSK has the id of an earlier line/],
      ['ab'.repeat(300), /longer than 256/],
      [Array.from({ length: 17 }, () => randomBytes(32).toString('hex')).join('\n'), /more than 16/],
    ]
    for (const [text, pattern] of texts) {
      const message = messageOf(text)
      assert.match(message, pattern)
      assert.equal(message.includes(hex.slice(0, 16)), false)
    }
  })

  test('random text never brings anything but the one error', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        try {
          parseKeyring(text, 'psk')
        } catch (error) {
          assert.ok(error instanceof StarlingError)
        }
      }),
    )
  })

  test('purpose, salt, context and key all separate derived keys', () => {
    const [psk, other] = [makePsk(randomBytes(32)), makePsk(randomBytes(32))]
    const [salt, context] = [Uint8Array.of(1), Uint8Array.of(2)]
    const derived = [
      deriveKey(psk, 'datagram', { salt, context, sizeBytes: 32 }),
      deriveKey(psk, 'libp2p-stream', { salt, context, sizeBytes: 32 }),
      deriveKey(psk, 'datagram', { salt: context, context, sizeBytes: 32 }),
      deriveKey(psk, 'datagram', { salt, context: salt, sizeBytes: 32 }),
      deriveKey(other, 'datagram', { salt, context, sizeBytes: 32 }),
    ].map((key) => key.toString('hex'))
    assert.equal(new Set(derived).size, derived.length)
  })
})
