import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import { makeAttestation } from '../../lib/trust/attestation.ts'
import { signChannelProof, verifyChannelProof } from '../../lib/trust/channel-proof.ts'
import { makeTestCluster } from '../support/test-trust.ts'

describe('channel proof', () => {
  let a: CredentialSet
  let b: CredentialSet
  let c: CredentialSet

  before(async () => {
    const cluster = await makeTestCluster({ nodes: [{ name: 'a' }, { name: 'b' }, { name: 'c' }] })
    ;[a, b, c] = [...cluster.values()] as [CredentialSet, CredentialSet, CredentialSet]
  })

  test('the holder of the certificate key is believed by the peer that it signed for', () => {
    const proof = signChannelProof(a, { self: a.peerId, remote: b.peerId, role: 'dialer' })
    const claim = { signer: a.peerId, verifier: b.peerId, role: 'dialer' } as const
    assert.equal(verifyChannelProof(makeAttestation(a), proof, claim), true)
  })

  test('a proof does not hold for another role, direction, verifier or signer', () => {
    const proof = signChannelProof(a, { self: a.peerId, remote: b.peerId, role: 'dialer' })
    const attestation = makeAttestation(a)
    const refused = [
      { signer: a.peerId, verifier: b.peerId, role: 'listener' },
      { signer: a.peerId, verifier: c.peerId, role: 'dialer' },
      { signer: b.peerId, verifier: a.peerId, role: 'dialer' },
    ] as const
    for (const claim of refused) assert.equal(verifyChannelProof(attestation, proof, claim), false)
    const other = { signer: b.peerId, verifier: b.peerId, role: 'dialer' } as const
    assert.equal(verifyChannelProof(makeAttestation(b), proof, other), false)
  })

  test('a proof by another certificate key of the cluster is refused', () => {
    const stolen = { ...a, serving: c.serving }
    const proof = signChannelProof(stolen, { self: a.peerId, remote: b.peerId, role: 'dialer' })
    const claim = { signer: a.peerId, verifier: b.peerId, role: 'dialer' } as const
    assert.equal(verifyChannelProof(makeAttestation(a), proof, claim), false)
  })

  test('garbage, empty and oversized proofs are refused without an exception', () => {
    const claim = { signer: a.peerId, verifier: b.peerId, role: 'dialer' } as const
    for (const size of [0, 1, 64, 71, 1024, 1025, 100_000]) {
      assert.equal(verifyChannelProof(makeAttestation(a), new Uint8Array(size), claim), false)
    }
  })
})
