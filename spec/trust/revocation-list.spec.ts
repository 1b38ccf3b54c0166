import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import type { Revocation } from '../../lib/core/credentials.ts'
import {
  backdateMs,
  isRevokedClient,
  readRevocations,
  signRevocations,
} from '../../lib/trust/revocation-list.ts'
import { makeTestAuthority, makeTestCredentials, type TestAuthority } from '../support/test-trust.ts'

let authority: TestAuthority
let list: Revocation[]

before(async () => {
  authority = await makeTestAuthority()
  list = []
  for (const name of ['node-7', 'node-9']) {
    const { peerId } = await makeTestCredentials(name, { authority })
    list.push({ name, peerId, revokedMs: 1_700_000_000_000 })
  }
})

const read = (text: string, pem = authority.serverCa.certPem) => readRevocations(text, pem, 'list.json')

describe('the list of revoked nodes', () => {
  it('is read back, whatever the order in which it was made', () => {
    const sorted = [...list].sort((a, b) => (a.peerId < b.peerId ? -1 : 1))
    for (const entries of [list, [...list].reverse()]) {
      assert.deepEqual(read(signRevocations(entries, authority.serverCa)), sorted)
    }
    assert.deepEqual(read(signRevocations([], authority.serverCa)), [])
  })

  it('counts where any root of the cluster has signed it, as in a rotation of the CA', async () => {
    const next = await makeTestAuthority()
    const text = signRevocations(list, next.serverCa)
    assert.throws(() => read(text), { code: 'TRUST_FILE_INVALID', message: /not signed by the server CA/ })
    assert.equal(read(text, `${authority.serverCa.certPem}${next.serverCa.certPem}`).length, 2)
  })

  it('is refused with one line where it was changed, is cut short or is something else', () => {
    const text = signRevocations(list, authority.serverCa)
    for (const wrong of [
      text.replace('node-7', 'node-8'),
      text.slice(0, -20),
      '',
      'null',
      '[]',
      '{"format":2}',
      JSON.stringify({ format: 1, list: '[]', signature: 'AAAA' }),
      signRevocations([{ ...list[0]!, peerId: 'nobody' as never }], authority.serverCa),
      signRevocations([{ ...list[0]!, revokedMs: 0.5 }], authority.serverCa),
    ]) {
      assert.throws(() => read(wrong), { code: 'TRUST_FILE_INVALID' }, wrong.slice(0, 60))
    }
  })

  it('revokes the certificates that a name had until then, and not those of a machine that took it later', () => {
    const [{ name, revokedMs }] = list as [Revocation]
    assert.equal(isRevokedClient(list, name, revokedMs - 3_600_000), true)
    assert.equal(isRevokedClient(list, name, revokedMs + 1_000 - backdateMs), false)
    assert.equal(isRevokedClient(list, 'node-8', 0), false)
    assert.equal(isRevokedClient(list, undefined, 0), false)
  })
})
