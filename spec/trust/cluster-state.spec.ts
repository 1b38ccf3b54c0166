import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { PeerId } from '../../lib/core/peer-id.ts'
import { makeCertificateAuthority } from '../../lib/trust/certificates.ts'
import {
  nodeOf,
  withNode,
  withoutNode,
  withoutToken,
  withServer,
  withSettings,
  withToken,
} from '../../lib/trust/cluster-changes.ts'
import { mergeStates } from '../../lib/trust/cluster-merge.ts'
import {
  type ClusterState,
  embeddedRegistryOf,
  emptyState,
  stateHash,
} from '../../lib/trust/cluster-state.ts'
import { revisionOf, viewOf } from '../../lib/trust/cluster-view.ts'
import { testTerms } from '../support/test-trust.ts'

const pair = await makeCertificateAuthority('test CA', testTerms())
const origin = emptyState(
  { serverCa: pair, clientCa: pair, serverCaPem: 's', clientCaPem: 'c', keyring: ['00'] },
  'a',
)
const secret = { salt: 'aa', hash: 'bb' }
const facts = (peerId: string) => ({
  password: { salt: 'aa', hash: peerId },
  peerId: peerId as PeerId,
  role: 'agent' as const,
  p2p: [`${peerId}:5001`],
})

type Change = (state: ClusterState, by: string) => ClusterState
const names = fc.constantFrom('n1', 'n2')
const changes: fc.Arbitrary<Change> = fc.oneof(
  fc.tuple(names, fc.constantFrom('p1', 'p2')).map(
    ([name, peer]): Change =>
      (state, by) =>
        withNode(state, name, facts(peer), by),
  ),
  names.map(
    (name): Change =>
      (state, by) =>
        withoutNode(state, name, by) ?? state,
  ),
  fc.boolean().map(
    (on): Change =>
      (state, by) =>
        withSettings(state, on, by),
  ),
  fc.constantFrom('u1', 'u2').map(
    (url): Change =>
      (state, by) =>
        withServer(state, by, [url], by),
  ),
  fc.constantFrom('t1', 't2').map(
    (id): Change =>
      (state) =>
        withoutToken(state, id) ?? state,
  ),
)
const t = (createdMs: number) => ({
  usage: 'node' as const,
  secret,
  description: '',
  createdMs,
  expiresMs: undefined,
})
const start = withToken(withToken(origin, 't1', t(1), 1), 't2', t(2), 2)
const historyOf = (by: string) =>
  fc.array(changes, { maxLength: 12 }).map((list) => list.reduce((state, change) => change(state, by), start))

describe('the state of a cluster', () => {
  it('is the same on servers that have heard the same, in whatever order', () => {
    fc.assert(
      fc.property(historyOf('a'), historyOf('b'), historyOf('c'), (a, b, c) => {
        const left = mergeStates(mergeStates(a, b), c)
        assert.equal(stateHash(left), stateHash(mergeStates(a, mergeStates(b, c))))
        assert.equal(stateHash(left), stateHash(mergeStates(mergeStates(c, b), a)))
        assert.equal(stateHash(mergeStates(left, a)), stateHash(left))
        assert.equal(stateHash(mergeStates(a, a)), stateHash(a))
      }),
    )
  })

  it('gives a name to who came first, and to another one only when it was set free', () => {
    const a = withNode(start, 'n1', facts('p1'), 'a')
    const b = withNode(withSettings(start, true, 'b'), 'n1', facts('p2'), 'b')
    assert.equal(nodeOf(mergeStates(a, b), 'n1')?.peerId, 'p1')
    const freed = withoutNode(a, 'n1', 'a')
    assert(freed !== undefined)
    assert.equal(nodeOf(mergeStates(freed, a), 'n1'), undefined)
    const again = withNode(freed, 'n1', facts('p2'), 'b')
    assert.equal(nodeOf(mergeStates(mergeStates(again, a), freed), 'n1')?.peerId, 'p2')
  })

  it('never brings a deleted token back', () => {
    const deleted = withoutToken(start, 't1')
    assert(deleted !== undefined)
    assert.equal(mergeStates(start, deleted).tokens.t1?.secret, undefined)
    assert.equal(withoutToken(deleted, 't1'), undefined)
    assert.equal(withoutToken(start, 'constructor'), undefined)
  })

  it('drops tokens a week after their end', () => {
    const day = 86_400_000
    const ended = withToken(origin, 'old', { ...t(0), expiresMs: day }, 0)
    assert.deepEqual(Object.keys(withToken(ended, 'new', t(0), 2 * day).tokens), ['old', 'new'])
    assert.deepEqual(Object.keys(withToken(ended, 'new', t(0), 9 * day).tokens), ['new'])
  })

  it('mirrors as the configuration says that was changed last, and not as a server that just came', () => {
    const on = withSettings(start, true, 'a')
    assert.equal(embeddedRegistryOf(start), false)
    assert.equal(embeddedRegistryOf(on), true)
    assert.equal(withSettings(on, true, 'a'), on)
    const other = withSettings(on, false, 'b')
    assert.equal(embeddedRegistryOf(other), true)
    const edited = withSettings(withSettings(other, true, 'b'), false, 'b')
    assert.equal(embeddedRegistryOf(edited), false)
    assert.equal(embeddedRegistryOf(mergeStates(on, edited)), false)
  })

  it('is told to nodes without what only servers may know, under the same revision everywhere', () => {
    const state = withServer(withNode(start, 'n1', facts('p1'), 'a'), 'a', ['https://192.0.2.1:9345'], 'a')
    const view = viewOf(state)
    assert.deepEqual(Object.keys(view).sort(), [
      'clientCaPem',
      'embeddedRegistry',
      'keyring',
      'revocations',
      'serverCaPem',
      'servers',
      'signers',
    ])
    assert.equal(revisionOf(view), revisionOf(viewOf(mergeStates(start, state))))
    assert.notEqual(revisionOf(view), revisionOf(viewOf(withSettings(state, true, 'a'))))
  })
})
