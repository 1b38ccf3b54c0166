import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import type { Revocation } from '../../lib/core/credentials.ts'
import {
  backdateMs,
  formatRevocations,
  isRevokedClient,
  mergeRevocations,
  readRevocations,
  signRevocation,
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
const write = (entries: readonly Revocation[], ca = authority.serverCa) =>
  formatRevocations(entries.map((entry) => signRevocation(entry, ca)))
const unsigned = (entries: readonly Revocation[]) =>
  entries.map(({ name, peerId, revokedMs }) => ({ name, peerId, revokedMs }))

describe('the list of revoked nodes', () => {
  it('is read back, whatever the order in which it was made', () => {
    const sorted = [...list].sort((a, b) => (a.peerId < b.peerId ? -1 : 1))
    for (const entries of [list, [...list].reverse()]) {
      assert.deepEqual(unsigned(read(write(entries))), sorted)
    }
    assert.deepEqual(read(write([])), [])
  })

  it('counts where any root of the cluster has signed an entry, as in a rotation of the CA', async () => {
    const next = await makeTestAuthority()
    const text = write(list, next.serverCa)
    assert.throws(() => read(text), { code: 'TRUST_FILE_INVALID', message: /server CA has not signed/ })
    assert.equal(read(text, `${authority.serverCa.certPem}${next.serverCa.certPem}`).length, 2)
  })

  it('is refused with one line where it was changed, is cut short or is something else', () => {
    const text = write(list)
    for (const wrong of [
      text.replace('node-7', 'node-8'),
      text.replace('1700000000000', '1700000000001'),
      text.slice(0, -20),
      '',
      'null',
      '[]',
      '{"format":2}',
      '{"format":1}',
      write([{ ...list[0]!, peerId: 'nobody' as never }]),
      write([{ ...list[0]!, revokedMs: 0.5 }]),
      write([{ ...list[0]!, name: 'x'.repeat(300) }]),
    ]) {
      assert.throws(() => read(wrong), { code: 'TRUST_FILE_INVALID' }, wrong.slice(0, 60))
    }
  })

  it('is merged with another one: nobody comes off it', () => {
    const [first, second] = list as [Revocation, Revocation]
    assert.deepEqual(mergeRevocations([first], [second, first]), [first, second])
  })

  it('revokes the certificates that a name had until then, and not those of a machine that took it later', () => {
    const [{ name, revokedMs }] = list as [Revocation]
    assert.equal(isRevokedClient(list, name, revokedMs - 3_600_000), true)
    assert.equal(isRevokedClient(list, name, revokedMs + 1_000 - backdateMs), false)
    assert.equal(isRevokedClient(list, 'node-8', 0), false)
    assert.equal(isRevokedClient(list, undefined, 0), false)
  })
})
