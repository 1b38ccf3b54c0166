import assert from 'node:assert/strict'
import { createPrivateKey, generateKeyPairSync, type KeyObject, sign, X509Certificate } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { der, derElements, derTags } from '../../lib/trust/der.ts'
import { makeIdentityPem, readIdentity } from '../../lib/trust/identity.ts'
import {
  identityOfPeerCertificate,
  makePeerCertificate,
  PeerCertificateError,
} from '../../lib/trust/peer-certificate.ts'

const nowMs = Date.parse('2026-11-24T12:00:00Z')
const identity = readIdentity(makeIdentityPem())
const derOf = (of = identity): Buffer => new X509Certificate(makePeerCertificate(of.privateKey).certPem).raw

/** The parts of what is signed in a certificate, as they are to be put together again. */
function partsOf(certificate: Uint8Array): Uint8Array[] {
  const [whole] = derElements(certificate)
  const [toBeSigned] = derElements(whole?.content ?? new Uint8Array())
  return derElements(toBeSigned?.content ?? new Uint8Array()).map(({ tag, content }) => der(tag, content))
}

/** A certificate of these parts, signed by this key, as who owns the key may make it. */
function signed(parts: readonly Uint8Array[], key: KeyObject): Uint8Array {
  const toBeSigned = der(derTags.sequence, ...parts)
  const bits = der(derTags.bitString, Uint8Array.of(0), sign('sha256', toBeSigned, key))
  return der(derTags.sequence, toBeSigned, parts[2] as Uint8Array, bits)
}

const refused = (certificate: Uint8Array, message: RegExp, atMs = nowMs) =>
  assert.throws(
    () => identityOfPeerCertificate(certificate, atMs),
    (error) => error instanceof PeerCertificateError && message.test(error.message),
  )

describe('the certificate of a peer', () => {
  it('proves the identity that it was made for, at any time', () => {
    const certificate = derOf()
    for (const atMs of [0, nowMs, Date.parse('9000-01-01T00:00:00Z')]) {
      assert.deepEqual(
        Buffer.from(identityOfPeerCertificate(certificate, atMs)),
        Buffer.from(identity.publicKey),
      )
    }
  })

  it('proves nothing with the extension of somebody else’s certificate', () => {
    const victim = partsOf(derOf())
    const thief = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const spki = thief.publicKey.export({ type: 'spki', format: 'der' })
    refused(
      signed(
        victim.map((part, index) => (index === 6 ? spki : part)),
        thief.privateKey,
      ),
      /has not signed its key/,
    )
  })

  it('proves nothing unless its own key has signed it', () => {
    const parts = partsOf(derOf())
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    refused(signed(parts, other.privateKey), /not self-signed/)
  })

  it('proves nothing without the extension, with it twice, or with a critical one that is not known', () => {
    const { certPem, keyPem } = makePeerCertificate(identity.privateKey)
    const parts = partsOf(new X509Certificate(certPem).raw)
    const key = createPrivateKey(keyPem)
    const list = derElements(derElements(parts[7] as Uint8Array)[0]?.content ?? new Uint8Array())[0]
    const extension = list?.content ?? new Uint8Array()
    const withExtensions = (...extensions: Uint8Array[]) =>
      signed([...parts.slice(0, 7), der(derTags.extensions, der(derTags.sequence, ...extensions))], key)
    const unknown = der(
      derTags.sequence,
      der(derTags.objectId, Buffer.from('2b0601040183a25a017f', 'hex')),
      der(derTags.boolean, Uint8Array.of(0xff)),
      der(derTags.octetString, der(derTags.sequence)),
    )
    assert.deepEqual(
      Buffer.from(identityOfPeerCertificate(withExtensions(extension), nowMs)),
      Buffer.from(identity.publicKey),
    )
    refused(signed(parts.slice(0, 7), key), /does not name one identity/)
    refused(withExtensions(extension, extension), /does not name one identity|malformed/)
    refused(withExtensions(extension, unknown), /not known here/)
  })

  it('proves nothing before and after its dates', () => {
    const { certPem, keyPem } = makePeerCertificate(identity.privateKey)
    const parts = partsOf(new X509Certificate(certPem).raw)
    const time = (text: string) => der(derTags.generalizedTime, Buffer.from(text))
    const dated = (from: string, to: string) =>
      signed(
        parts.map((part, index) => (index === 4 ? der(derTags.sequence, time(from), time(to)) : part)),
        createPrivateKey(keyPem),
      )
    refused(dated('20500101000000Z', '20600101000000Z'), /not valid now/)
    refused(dated('20500101000000Z', '20600101000000Z'), /not valid now/, Date.parse('2061-01-01T00:00:00Z'))
  })

  it('proves nothing any more once any byte of it is another one', () => {
    const certificate = derOf()
    fc.assert(
      fc.property(fc.nat(certificate.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const changed = Buffer.from(certificate)
        changed[at] = (changed[at] as number) ^ change
        assert.throws(() => identityOfPeerCertificate(changed, nowMs), PeerCertificateError)
      }),
    )
  })

  it('is refused where it is no certificate at all', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        assert.throws(() => identityOfPeerCertificate(bytes, nowMs), PeerCertificateError)
      }),
    )
  })
})
