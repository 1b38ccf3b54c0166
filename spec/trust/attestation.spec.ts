import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import fc from 'fast-check'
import type { CredentialSet, KeyPair } from '../../lib/core/credentials.ts'
import {
  type AttestationRefusal,
  AttestationRefusedError,
  attestationSkewToleranceMs,
  checkAttestation,
  makeAttestation,
  maxAttestationSizeBytes,
} from '../../lib/trust/attestation.ts'
import { certificateKeyHashOf, clientAuthUsage, serverAuthUsage } from '../../lib/trust/certificate-chain.ts'
import { makeTestAuthority, makeTestCredentials } from '../support/test-trust.ts'
import { makeForeignCertificate, unknownCriticalExtension } from './foreign-pki.ts'

function refusalOf(bytes: Uint8Array, serverCaPem: string, nowMs = Date.now()): AttestationRefusal {
  try {
    checkAttestation(bytes, serverCaPem, nowMs)
  } catch (error) {
    assert.ok(error instanceof AttestationRefusedError, String(error))
    assert.equal(error.code, 'ATTESTATION_REFUSED')
    assert.doesNotMatch(error.message, /\n/)
    return error.reason
  }
  assert.fail('the attestation was accepted')
}

describe('attestation', () => {
  let own: CredentialSet
  let other: CredentialSet
  let foreignRoot: KeyPair

  before(async () => {
    const authority = await makeTestAuthority()
    own = await makeTestCredentials('own', { authority })
    other = await makeTestCredentials('other', { authority })
    foreignRoot = await makeForeignCertificate({ name: 'foreign root', ca: {} })
  })

  test('what a node attests is accepted by every node with the same CA', () => {
    const made = makeAttestation(own)
    const checked = checkAttestation(made.bytes, own.serverCaPem, Date.now())
    assert.deepEqual(checked, { ...made, bytes: checked.bytes })
    assert.deepEqual(Buffer.from(checked.bytes), Buffer.from(made.bytes))
    assert.equal(checked.peerId, own.peerId)
    assert.equal(checked.subject, 'own')
    assert.deepEqual(checked.certificateKeyHash, certificateKeyHashOf(own.serving.certPem))
    assert.ok(made.bytes.length < 2048, `${made.bytes.length} bytes`)
  })

  test('the checked attestation does not share memory with the packet that it came in', () => {
    const packet = Buffer.from(makeAttestation(own).bytes)
    const { bytes } = checkAttestation(packet, own.serverCaPem, Date.now())
    packet.fill(0)
    assert.equal(checkAttestation(bytes, own.serverCaPem, Date.now()).peerId, own.peerId)
  })

  test('a certificate of another CA is refused', async () => {
    const foreign = await makeTestAuthority()
    assert.equal(refusalOf(makeAttestation(own).bytes, foreign.serverCa.certPem), 'untrusted')
    assert.equal(refusalOf(makeAttestation(own).bytes, ''), 'untrusted')
  })

  test('a bundle of two CAs accepts the certificates of both', async () => {
    const foreign = await makeTestAuthority()
    const bundle = `${foreign.serverCa.certPem}${own.serverCaPem}`
    assert.equal(checkAttestation(makeAttestation(own).bytes, bundle, Date.now()).peerId, own.peerId)
  })

  test('an expired certificate is refused, with some minutes of tolerance for clocks', () => {
    const { bytes, notAfterMs } = makeAttestation(own)
    const { peerId } = checkAttestation(bytes, own.serverCaPem, notAfterMs + attestationSkewToleranceMs)
    assert.equal(peerId, own.peerId)
    const late = notAfterMs + attestationSkewToleranceMs + 1
    assert.equal(refusalOf(bytes, own.serverCaPem, late), 'expired')
    assert.equal(refusalOf(bytes, own.serverCaPem, Date.now() - 7_200_000), 'not-yet-valid')
  })

  test('a PeerId that the certificate does not name is refused', () => {
    const forged = { ...other, serving: own.serving }
    assert.equal(refusalOf(makeAttestation(forged).bytes, own.serverCaPem), 'peer-id')
  })

  test('a certificate that names no PeerId is accepted for the identity that signed with it', async () => {
    const serving = await makeForeignCertificate({ name: 'foreign', issuer: foreignRoot })
    const set = { ...own, serverCaPem: foreignRoot.certPem, serving }
    assert.equal(checkAttestation(makeAttestation(set).bytes, set.serverCaPem, Date.now()).peerId, own.peerId)
  })

  test('neither key can be left out: both signatures are checked', async () => {
    const root = foreignRoot
    const serving = await makeForeignCertificate({ name: 'foreign', issuer: root })
    const wrongCertificateKey = { ...own, serving: { ...serving, keyPem: other.serving.keyPem } }
    assert.equal(refusalOf(makeAttestation(wrongCertificateKey).bytes, root.certPem), 'signature')
    const wrongIdentity = { ...own, serving, identityPrivateKey: other.identityPrivateKey }
    assert.equal(refusalOf(makeAttestation(wrongIdentity).bytes, root.certPem), 'signature')
    const wrongPeer = { ...own, serving, identityPublicKey: other.identityPublicKey }
    assert.equal(refusalOf(makeAttestation(wrongPeer).bytes, root.certPem), 'signature')
  })

  test('a client certificate does not make a member', async () => {
    const root = foreignRoot
    const serving = await makeForeignCertificate({ name: 'c', issuer: root, usages: [clientAuthUsage] })
    assert.equal(refusalOf(makeAttestation({ ...own, serving }).bytes, root.certPem), 'usage')
  })

  for (const key of ['rsa2048', 'p256', 'p384', 'ed25519'] as const) {
    test(`a chain with an intermediate and keys of type ${key} is accepted`, async () => {
      const root = await makeForeignCertificate({ name: 'root', key, ca: {} })
      const middle = await makeForeignCertificate({
        name: 'middle',
        key,
        issuer: root,
        ca: { pathLength: 0 },
      })
      const leaf = await makeForeignCertificate({
        name: 'leaf',
        key,
        issuer: middle,
        usages: [serverAuthUsage],
      })
      const serving = { certPem: leaf.certPem + middle.certPem + root.certPem, keyPem: leaf.keyPem }
      const { bytes } = makeAttestation({ ...own, serving })
      assert.equal(checkAttestation(bytes, root.certPem, Date.now()).subject, 'leaf')
      assert.equal(refusalOf(makeAttestation({ ...own, serving: leaf }).bytes, root.certPem), 'untrusted')
    })
  }

  test('an issuer that is no CA, or is further from the leaf than it may be, is refused', async () => {
    const root = await makeForeignCertificate({ name: 'root', ca: { pathLength: 0 } })
    const middle = await makeForeignCertificate({ name: 'middle', issuer: root, ca: {} })
    const notCa = await makeForeignCertificate({ name: 'plain', issuer: root })
    for (const issuer of [middle, notCa]) {
      const leaf = await makeForeignCertificate({ name: 'leaf', issuer })
      const serving = { certPem: leaf.certPem + issuer.certPem, keyPem: leaf.keyPem }
      assert.equal(refusalOf(makeAttestation({ ...own, serving }).bytes, root.certPem), 'untrusted')
    }
  })

  test('an intermediate alone in the CA file is no root', async () => {
    const root = foreignRoot
    const middle = await makeForeignCertificate({ name: 'middle', issuer: root, ca: {} })
    const serving = await makeForeignCertificate({ name: 'leaf', issuer: middle })
    assert.equal(refusalOf(makeAttestation({ ...own, serving }).bytes, middle.certPem), 'untrusted')
    const both = middle.certPem + root.certPem
    assert.equal(
      checkAttestation(makeAttestation({ ...own, serving }).bytes, both, Date.now()).subject,
      'leaf',
    )
  })

  test('weak keys and critical extensions that are not understood are refused', async () => {
    const root = foreignRoot
    const unknown = unknownCriticalExtension()
    for (const extra of [{ key: 'rsa1024' }, { key: 'secp256k1' }, { extensions: [unknown] }] as const) {
      const serving = await makeForeignCertificate({ name: 'leaf', issuer: root, ...extra })
      assert.equal(refusalOf(makeAttestation({ ...own, serving }).bytes, root.certPem), 'unsupported')
    }
  })

  test('a change of any single byte is noticed', () => {
    const { bytes } = makeAttestation(own)
    const change = fc.record({ at: fc.nat(bytes.length - 1), by: fc.integer({ min: 1, max: 255 }) })
    fc.assert(
      fc.property(change, ({ at, by }) => {
        const changed = Buffer.from(bytes)
        changed[at] = (changed[at] as number) ^ by
        refusalOf(changed, own.serverCaPem)
      }),
      { numRuns: 1500 },
    )
  })

  test('truncated, oversized and random bytes are refused as malformed', () => {
    const { bytes } = makeAttestation(own)
    for (let length = 0; length < bytes.length; length += 1) {
      assert.equal(refusalOf(bytes.subarray(0, length), own.serverCaPem), 'malformed')
    }
    assert.equal(refusalOf(new Uint8Array(maxAttestationSizeBytes + 1), own.serverCaPem), 'malformed')
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (random) => {
        assert.equal(refusalOf(random, own.serverCaPem), 'malformed')
        refusalOf(Uint8Array.of(1, ...random), own.serverCaPem)
      }),
      { numRuns: 300 },
    )
  })

  test('fields of a later version are skipped', () => {
    const later = Buffer.concat([makeAttestation(own).bytes, Uint8Array.of((15 << 3) | 2, 3, 1, 2, 3)])
    assert.equal(checkAttestation(later, own.serverCaPem, Date.now()).peerId, own.peerId)
  })
})
