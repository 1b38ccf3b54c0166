import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { StarlingError } from '../../lib/core/errors.ts'
import { formatJoinToken, parseJoinToken, readTokenSecret, tokenSecret } from '../../lib/trust/join-token.ts'
import { hashSecret, verifySecret } from '../../lib/trust/secret-hash.ts'

const hash = 'ab'.repeat(32)
const key = 'c'.repeat(32)

describe('a join token', () => {
  it('is read back as it was written', () => {
    const tokens = fc.record({
      rootHash: fc.oneof(fc.constant(undefined), fc.stringMatching(/^[0-9a-f]{64}$/)),
      usage: fc.constantFrom('node' as const, 'server' as const),
      id: fc.stringMatching(/^[a-z0-9]{6,16}$/),
      key: fc.stringMatching(/^[A-Za-z0-9]{32,128}$/),
    })
    fc.assert(
      fc.property(tokens, (token) => {
        const expected = token.rootHash === undefined ? { ...token, usage: undefined } : token
        assert.deepEqual({ ...parseJoinToken(`  ${formatJoinToken(token)}\n`) }, { ...expected })
        assert.deepEqual(readTokenSecret(tokenSecret(token)), { id: token.id, key: token.key })
      }),
    )
  })

  it('may come without the hash of a root', () => {
    assert.deepEqual(parseJoinToken(`abcdef.${key}`), {
      rootHash: undefined,
      usage: undefined,
      id: 'abcdef',
      key,
    })
  })

  for (const [what, text] of [
    ['empty', ''],
    ['a word', 'token'],
    ['with a short hash', `K10${hash.slice(1)}::node:abcdef.${key}`],
    ['for an unknown usage', `K10${hash}::admin:abcdef.${key}`],
    ['with a short key', `K10${hash}::node:abcdef.abc`],
    ['with two lines', `abcdef.${key}\nabcdef.${key}`],
    ['of a megabyte', 'a'.repeat(2 ** 20)],
    ['with a NUL', `abcdef.${key}\0`],
  ] as const) {
    it(`is refused ${what}, and not shown`, () => {
      assert.throws(
        () => parseJoinToken(text),
        (error) =>
          error instanceof StarlingError && error.code === 'TOKEN_INVALID' && !error.format().includes('ccc'),
      )
    })
  }

  it('that is kept as a hash is known by its secret and by no other', async () => {
    const kept = await hashSecret('abcdef.secret', randomBytes(16))
    assert.equal(JSON.stringify(kept).includes('secret'), false)
    assert.equal(await verifySecret('abcdef.secret', kept), true)
    assert.equal(await verifySecret('abcdef.secreT', kept), false)
    assert.equal(await verifySecret('abcdef.secret', undefined), false)
    assert.equal(await verifySecret('abcdef.secret', { ...kept, hash: '' }), false)
  })
})
