import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { safeLogFields } from '../../lib/app/log-fields.ts'
import { StarlingError } from '../../lib/core/errors.ts'

describe('the fields of a log line', () => {
  it('hide what is secret by its name, however deep', () => {
    const fields = {
      psk: 'x',
      a: { password: 'x', headers: [{ Authorization: 'x' }] },
      clientKeyPem: 'x',
      token: 1,
    }
    const text = JSON.stringify(safeLogFields(fields))
    assert(!text.includes('"x"'), text)
    assert.equal(text.match(/\[hidden\]/g)?.length, 5)
  })

  it('hide private keys by their look', () => {
    const pem = '-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----'
    assert.deepEqual(safeLogFields({ note: `x ${pem}` }), { note: '[hidden]' })
  })

  it('show errors as their line, bytes as their number and other things as they are', () => {
    const error = new StarlingError('PORT_IN_USE', 'taken', { hint: 'move' })
    assert.deepEqual(
      safeLogFields({
        error,
        cause: new Error('boom'),
        bytes: new Uint8Array(5),
        n: 1n,
        peer: 'a',
        key: 'k',
        no: null,
      }),
      {
        error: { code: 'PORT_IN_USE', message: 'taken; move' },
        cause: { message: 'boom' },
        bytes: '[5 bytes]',
        n: '1',
        peer: 'a',
        key: 'k',
        no: null,
      },
    )
  })

  it('end at a depth, so that a circle does no harm', () => {
    const circle: Record<string, unknown> = {}
    circle.circle = circle
    assert.match(JSON.stringify(safeLogFields(circle)), /\[…\]/)
  })
})
