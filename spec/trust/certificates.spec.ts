import assert from 'node:assert/strict'
import { randomBytes, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { before, describe, test } from 'node:test'
import { connect, createServer, type TLSSocket } from 'node:tls'
import fc from 'fast-check'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import { certificateKeyHashOf } from '../../lib/trust/certificate-chain.ts'
import { readCertificateExtensions } from '../../lib/trust/certificate-extensions.ts'
import { issueClientCertificate, issueServingCertificate } from '../../lib/trust/certificates.ts'
import { makeTestCluster, testTerms } from '../support/test-trust.ts'
import { makeForeignCertificate, unknownCriticalExtension } from './foreign-pki.ts'

describe('certificates', () => {
  let a: CredentialSet
  let b: CredentialSet
  before(async () => {
    const cluster = await makeTestCluster({ nodes: [{ name: 'a', addresses: ['127.8.8.8'] }, { name: 'b' }] })
    ;[a, b] = [...cluster.values()] as [CredentialSet, CredentialSet]
  })

  test('two nodes speak TLS with each other, each with its certificate', async () => {
    const server = createServer({
      cert: a.serving.certPem,
      key: a.serving.keyPem,
      ca: a.clientCaPem,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.3',
    })
    server.listen(0, '127.8.8.8')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>
    const client = connect({
      host: '127.8.8.8',
      port,
      servername: 'a',
      ca: b.serverCaPem,
      cert: b.client.certPem,
      key: b.client.keyPem,
    })
    await once(client, 'secureConnect')
    const [inside] = await accepted
    assert.equal(inside.getPeerCertificate().subject.CN, 'b')
    const shown = client.getPeerX509Certificate()
    assert.deepEqual(certificateKeyHashOf(shown?.raw ?? ''), certificateKeyHashOf(a.serving.certPem))
    client.destroy()
    inside.destroy()
    server.close()
  })

  for (const key of ['rsa2048', 'p384'] as const) {
    test(`a CA with a key of type ${key} can issue`, async () => {
      const ca = await makeForeignCertificate({ name: 'root', key, ca: {} })
      const subject = { nodeName: 'n', addresses: [], peerId: a.peerId }
      for (const pair of [
        await issueServingCertificate(ca, subject, testTerms()),
        await issueClientCertificate(ca, 'n', testTerms()),
      ]) {
        assert.ok(new X509Certificate(pair.certPem).verify(new X509Certificate(ca.certPem).publicKey))
      }
    })
  }

  test('a CA with a key that cannot sign here is refused', async () => {
    const ca = await makeForeignCertificate({ name: 'root', key: 'ed25519', ca: {} })
    await assert.rejects(issueClientCertificate(ca, 'n', testTerms()), { code: 'TRUST_FILE_INVALID' })
  })

  test('every serial number is positive and of full length', async () => {
    for (const fill of [0x00, 0x80, 0xff]) {
      const terms = { ...testTerms(), serial: Buffer.alloc(16, fill) }
      const ca = await makeForeignCertificate({ name: 'root', ca: {} })
      const { certPem } = await issueClientCertificate(ca, 'n', terms)
      assert.match(new X509Certificate(certPem).serialNumber, /^[4-7][0-9A-F]{31}$/)
    }
  })

  test('what node:crypto does not show is read from the DER', async () => {
    const { certPem } = await makeForeignCertificate({
      name: 'x',
      ca: { pathLength: 300 },
      uris: ['starling:one', 'https://example.com/'],
      extensions: [unknownCriticalExtension()],
    })
    const read = readCertificateExtensions(new X509Certificate(certPem).raw)
    assert.deepEqual(read, {
      critical: ['2a0304', '551d13'],
      pathLength: 300,
      uris: ['starling:one', 'https://example.com/'],
    })
  })

  test('DER that is cut, changed or random brings a RangeError or a result, nothing else', () => {
    const der = new X509Certificate(a.serving.certPem).raw
    const attempt = (bytes: Uint8Array): void => {
      try {
        readCertificateExtensions(bytes)
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error))
      }
    }
    for (let length = 0; length < der.length; length += 1) attempt(der.subarray(0, length))
    for (let at = 0; at < der.length; at += 1) {
      const changed = Buffer.from(der)
      changed.set(randomBytes(1), at)
      attempt(changed)
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), attempt))
  })
})
