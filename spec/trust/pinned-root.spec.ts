import assert from 'node:assert/strict'
import { randomBytes, X509Certificate } from 'node:crypto'
import { describe, it } from 'node:test'
import { isServerCertificate } from '../../lib/trust/certificate-role.ts'
import { issueClientCertificate } from '../../lib/trust/certificates.ts'
import { rootHashOf } from '../../lib/trust/join-token.ts'
import { anchorsOf, rootsOf } from '../../lib/trust/pinned-root.ts'
import { openWithToken, sealForToken } from '../../lib/trust/sealed-state.ts'
import { makeTestAuthority, testTerms } from '../support/test-trust.ts'

describe('a pinned root', () => {
  it('is found in a bundle, and nothing else in the bundle is believed', async () => {
    const { serverCa, clientCa } = await makeTestAuthority()
    const hash = rootHashOf(new X509Certificate(serverCa.certPem).raw)
    const anchors = anchorsOf(`${clientCa.certPem}${serverCa.certPem}`, hash)
    assert.deepEqual(
      anchors?.map((pem) => new X509Certificate(pem).subject),
      ['CN=test server CA'],
    )
    assert.equal(anchorsOf(clientCa.certPem, hash), undefined)
    assert.equal(anchorsOf('garbage', hash), undefined)
    assert.equal(rootsOf(serverCa.certPem + clientCa.certPem)[0]?.hash, hash)
  })

  it('is no certificate that is not one of a CA', async () => {
    const { clientCa } = await makeTestAuthority()
    const { certPem } = await issueClientCertificate(clientCa, 'n', testTerms())
    assert.equal(anchorsOf(certPem, rootHashOf(new X509Certificate(certPem).raw)), undefined)
  })
})

describe('a certificate of a server', () => {
  it('is told from one of a node', async () => {
    const { clientCa } = await makeTestAuthority()
    const of = async (server: boolean) =>
      new X509Certificate((await issueClientCertificate(clientCa, 'n', testTerms(), { server })).certPem).raw
    assert.equal(isServerCertificate(await of(true)), true)
    assert.equal(isServerCertificate(await of(false)), false)
    assert.equal(isServerCertificate(Buffer.from('garbage')), false)
  })
})

describe('what a further server receives', () => {
  const at = { salt: randomBytes(32), nonce: randomBytes(12) }
  const plain = Buffer.from('the keys of the CA')

  it('opens with the token alone', () => {
    const sealed = sealForToken('abcdef.secret', plain, at)
    assert.deepEqual(openWithToken('abcdef.secret', sealed, at), plain)
    assert.equal(Buffer.from(sealed).includes('keys'), false)
    for (const bad of [
      () => openWithToken('abcdef.secreT', sealed, at),
      () => openWithToken('abcdef.secret', sealed.subarray(1), at),
      () => openWithToken('abcdef.secret', Buffer.alloc(3), at),
      () => openWithToken('abcdef.secret', sealed, { ...at, salt: randomBytes(32) }),
    ]) {
      assert.throws(bad, { code: 'JOIN_REFUSED' })
    }
  })
})
