import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { before, describe, it } from 'node:test'
import { admitRecord } from '../../lib/app/membership/records.ts'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import type { PeerId } from '../../lib/core/peer-id.ts'
import { signRecord } from '../../lib/membership/record.ts'
import { makeAttestation } from '../../lib/trust/attestation.ts'
import { certificateKeyHashOf } from '../../lib/trust/certificate-chain.ts'
import { certifyServing } from '../../lib/trust/certificates.ts'
import { MemoryAttestations } from '../network/test-host.ts'
import { recordingLog, recordingMetrics } from '../support/fake-cluster.ts'
import {
  makeTestAuthority,
  makeTestCredentials,
  type TestAuthority,
  testTerms,
} from '../support/test-trust.ts'
import { makeRecord } from './fixtures.ts'

let authority: TestAuthority
let self: CredentialSet
let peer: CredentialSet

before(async () => {
  authority = await makeTestAuthority()
  self = await makeTestCredentials('self', { authority })
  peer = await makeTestCredentials('peer', { authority })
})

/** The same node with a certificate that was issued later for the same key. */
async function renewed(): Promise<CredentialSet> {
  const spki = new X509Certificate(peer.serving.certPem).publicKey.export({ type: 'spki', format: 'der' })
  const subject = { nodeName: 'peer', addresses: ['127.0.0.1'], peerId: peer.peerId }
  const terms = testTerms({ notBeforeMs: Date.now(), notAfterMs: Date.now() + 48 * 3_600_000 })
  const certPem = await certifyServing(authority.serverCa, subject, spki, terms)
  return { ...peer, serving: { certPem, keyPem: peer.serving.keyPem } }
}

function recordOf(set: CredentialSet, sequence: number): Uint8Array {
  const certificateKeyHash = certificateKeyHashOf(set.serving.certPem)
  return signRecord(
    makeRecord(set.peerId, { name: 'peer', sequence, certificateKeyHash }),
    set.identityPrivateKey,
  ).bytes
}

describe('a member record that somebody passed on', () => {
  const parts = (attestations: MemoryAttestations) => ({
    attestations,
    self: 'nobody' as PeerId,
    logger: recordingLog(),
    metrics: recordingMetrics(),
  })

  it('brings the proof of a renewed certificate with it, also of one with the same key', async () => {
    const attestations = new MemoryAttestations(self)
    const first = makeAttestation(peer)
    assert.ok(admitRecord({ record: recordOf(peer, 1), attestation: first.bytes }, parts(attestations)))
    const next = await renewed()
    const later = makeAttestation(next)
    assert.ok(later.notAfterMs > first.notAfterMs)
    assert.ok(admitRecord({ record: recordOf(next, 2), attestation: later.bytes }, parts(attestations)))
    assert.equal(attestations.get(peer.peerId)?.notAfterMs, later.notAfterMs)
  })

  it('counts by what is known of its node where the proof that came with it is no good', () => {
    const attestations = new MemoryAttestations(self)
    const known = makeAttestation(peer)
    assert.ok(attestations.admit(known.bytes))
    const broken = Uint8Array.from(known.bytes).fill(0, 20, 40)
    const signed = admitRecord({ record: recordOf(peer, 3), attestation: broken }, parts(attestations))
    assert.equal(signed?.record.sequence, 3)
    const stranger = new MemoryAttestations(self)
    assert.equal(admitRecord({ record: recordOf(peer, 3), attestation: broken }, parts(stranger)), undefined)
  })
})
