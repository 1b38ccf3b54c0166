import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TransferReport } from '../../lib/core/lookup.ts'
import type { PeerId } from '../../lib/core/peer-id.ts'
import { CandidateOrder } from '../../lib/selection/candidate-order.ts'
import { PeerSpeeds } from '../../lib/selection/peer-speeds.ts'

const [quick, slow, unknown] = ['quick', 'slow', 'unknown'] as PeerId[] as [PeerId, PeerId, PeerId]

function report(peerId: PeerId, durationMs: number, bytes = 4 * 2 ** 20): TransferReport {
  return { peerId, outcome: 'complete', bytes, firstByteMs: 1, durationMs }
}

test('peers are compared by the time for the same bytes, within bounds, and an unknown one is like the mean', () => {
  const speeds = new PeerSpeeds()
  speeds.learn(report(quick, 10))
  speeds.learn(report(slow, 30))
  const factors = speeds.factors([quick, slow, unknown])
  assert.ok((factors.get(quick) ?? 0) < 1 && (factors.get(slow) ?? 0) > 1)
  assert.equal(factors.get(unknown), 1)
  for (let round = 0; round < 50; round++) speeds.learn(report(slow, 1e6))
  assert.ok(
    (speeds.factors([quick, slow]).get(quick) ?? 0) >= 0.25,
    'one bad peer does not make another count ten-fold',
  )
})

test('a short answer says nothing of the rate, and a forgotten peer is unknown', () => {
  const speeds = new PeerSpeeds()
  speeds.learn(report(slow, 1e6, 100))
  assert.equal(speeds.factors([slow]).get(slow), 1)
  speeds.learn(report(quick, 10))
  speeds.learn(report(slow, 1000))
  speeds.forget(slow)
  assert.equal(speeds.factors([quick, slow]).get(slow), 1)
})

test('with equal load the faster one comes first, and a slower one when the faster has enough to do', () => {
  const order = new CandidateOrder({
    zone: '',
    clock: { monotonicMs: () => 0, wallMs: () => 0 },
    rng: { next: () => 0 },
  })
  const holders = [slow, quick].map((peerId) => ({ record: { peerId, zone: '' } }))
  const first = () => order.order(holders)[0]?.record.peerId
  for (const [peerId, durationMs] of [
    [quick, 10],
    [slow, 20],
  ] as const) {
    order.started(peerId)
    order.learn(report(peerId, durationMs))
  }
  assert.equal(first(), quick)
  for (let count = 0; count < 3; count++) order.started(quick)
  assert.equal(first(), slow)
})
