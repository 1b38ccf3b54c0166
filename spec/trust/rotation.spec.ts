import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { makeCertificateAuthority } from '../../lib/trust/certificates.ts'
import { type ClusterState, emptyState } from '../../lib/trust/cluster-state.ts'
import { crossSign } from '../../lib/trust/cross-sign.ts'
import { rootHashOf } from '../../lib/trust/join-token.ts'
import { anchorsOf } from '../../lib/trust/pinned-root.ts'
import {
  abortRotation,
  advanceRotation,
  lateNodes,
  rotationOf,
  startCaRotation,
  startPskRotation,
  takeOverRotation,
  tokenBundle,
} from '../../lib/trust/rotation.ts'
import { testTerms } from '../support/test-trust.ts'

const pair = (name: string) => ({ certPem: `${name} cert\n`, keyPem: `${name} key\n` })
const start = { nowMs: 5, by: 'server-1' }

function before(): ClusterState {
  const serverCa = pair('old server')
  const clientCa = pair('old client')
  return emptyState(
    { serverCa, clientCa, serverCaPem: serverCa.certPem, clientCaPem: clientCa.certPem, keyring: ['0a'] },
    'server-1',
  )
}

const nextRoots = { serverCa: pair('new server'), clientCa: pair('new client'), crossSignedPem: 'crossed\n' }

/** What a node accepts and uses in a state. */
interface Works {
  readonly sends: string
  readonly accepts: readonly string[]
  readonly signedBy: string
  readonly trusts: string
}

function worksWith({ authority }: ClusterState): Works {
  const [sends = ''] = authority.keyring
  return {
    sends,
    accepts: authority.keyring,
    signedBy: authority.serverCa.certPem,
    trusts: authority.serverCaPem,
  }
}

describe('a rotation', () => {
  it('of the PSK: the new key is accepted everywhere before it is used, and the old one until nobody uses it', () => {
    const first = startPskRotation(before(), '0b', start)
    const second = advanceRotation(first, start)
    const third = advanceRotation(second, start)
    assert.deepEqual(
      [first, second, third].map(({ authority }) => authority.keyring),
      [['0a', '0b'], ['0b', '0a'], ['0b']],
    )
    assert.equal(rotationOf(third), undefined)
  })

  it('of the CA: both roots are trusted while certificates change, and tokens of the old root still lead on', () => {
    const first = startCaRotation(before(), nextRoots, start)
    const second = advanceRotation(first, start)
    const third = advanceRotation(second, start)
    assert.equal(first.authority.serverCa.certPem, 'old server cert\n')
    assert.equal(first.authority.serverCaPem, 'old server cert\nnew server cert\n')
    assert.equal(second.authority.clientCa.certPem, 'new client cert\n')
    assert.equal(second.authority.clientCaPem, 'old client cert\nnew client cert\n')
    assert.equal(third.authority.serverCaPem, 'new server cert\n')
    assert.equal(tokenBundle(first.authority), 'old server cert\nnew server cert\ncrossed\n')
    assert.equal(tokenBundle(third.authority), 'new server cert\nold server cert\ncrossed\n')
  })

  it('that is broken off ends as it began, at whatever stage', () => {
    for (const begin of [
      (state: ClusterState) => startPskRotation(state, '0b', start),
      (state: ClusterState) => startCaRotation(state, nextRoots, start),
    ]) {
      const origin = worksWith(before())
      const spread = begin(before())
      assert.deepEqual(worksWith(abortRotation(spread, start)), origin)
      const back = abortRotation(advanceRotation(spread, start), start)
      assert.deepEqual(worksWith(back), worksWith(spread), 'all accept both until all are back')
      assert.deepEqual(abortRotation(back, start), back)
      assert.deepEqual(worksWith(advanceRotation(back, start)), origin)
    }
  })

  it('never leaves two nodes apart that are at most one step from each other, whatever is done to it', () => {
    const step = fc.constantFrom('advance' as const, 'abort' as const, 'take over' as const)
    fc.assert(
      fc.property(fc.boolean(), fc.array(step, { maxLength: 8 }), (isPsk, steps) => {
        let state = isPsk
          ? startPskRotation(before(), '0b', start)
          : startCaRotation(before(), nextRoots, start)
        let last = worksWith(before())
        const meet = () => {
          const now = worksWith(state)
          for (const [one, other] of [
            [last, now],
            [now, last],
          ] as const) {
            assert.ok(other.accepts.includes(one.sends), `${one.sends} is not accepted by ${other.accepts}`)
            assert.ok(other.trusts.includes(one.signedBy), `${one.signedBy} is not trusted by the next`)
          }
          last = now
        }
        meet()
        for (const what of steps) {
          if (rotationOf(state) === undefined) return
          if (what === 'advance') state = advanceRotation(state, start)
          else if (what === 'abort') state = abortRotation(state, { nowMs: 6, by: 'server-2' })
          else state = takeOverRotation(state, 'server-3')
          meet()
        }
      }),
    )
  })

  it('is refused beside another one, and cannot be moved where there is none', () => {
    const state = startPskRotation(before(), '0b', start)
    const refused = { code: 'ROTATION_REFUSED' }
    assert.throws(() => startCaRotation(state, nextRoots, start), refused)
    assert.throws(() => startPskRotation(before(), '0a', start), refused)
    for (const move of [advanceRotation, abortRotation]) assert.throws(() => move(before(), start), refused)
    assert.throws(() => takeOverRotation(before(), 'server-2'), refused)
  })

  it('waits for whoever is there and has not said that it works with the present stage', () => {
    const acknowledged = { a: { revision: 'r2' }, b: { revision: 'r1' }, gone: { revision: 'r1' } }
    assert.deepEqual(lateNodes(['c', 'b', 'a', 'b'], acknowledged, 'r2'), ['b', 'c'])
    assert.deepEqual(lateNodes(['constructor'], acknowledged, 'r2'), ['constructor'])
  })
})

describe('a root that an older one has cross-signed', () => {
  it('is believed by who pins the older one', async () => {
    const old = await makeCertificateAuthority('cluster CA 1', testTerms())
    const next = await makeCertificateAuthority('cluster CA 2', testTerms())
    const crossed = await crossSign(next.certPem, old, testTerms())
    const pinned = rootHashOf(new X509Certificate(old.certPem).raw)
    const anchors = anchorsOf(`${next.certPem}${old.certPem}${crossed}`, pinned)
    assert.equal(anchors?.length, 2)
    const certificate = new X509Certificate(anchors?.[1] ?? '')
    assert.equal(certificate.subject, 'CN=cluster CA 2')
    assert.equal(certificate.issuer, 'CN=cluster CA 1')
    assert.ok(certificate.publicKey.equals(new X509Certificate(next.certPem).publicKey))
    const stranger = await makeCertificateAuthority('cluster CA 1', testTerms())
    const forged = await crossSign(next.certPem, stranger, testTerms())
    assert.equal(anchorsOf(`${next.certPem}${old.certPem}${forged}`, pinned)?.length, 1)
  })
})
