import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TransferReport } from '../../lib/core/lookup.ts'
import type { PeerId } from '../../lib/core/peer-id.ts'
import { defaultBackOff, PeerScores } from '../../lib/selection/peer-scores.ts'

const peer = 'peer-1' as PeerId

function report(outcome: TransferReport['outcome'], status?: number): TransferReport {
  return {
    peerId: peer,
    outcome,
    bytes: 0,
    firstByteMs: undefined,
    durationMs: 1,
    ...(status === undefined ? {} : { status }),
  }
}

function after(outcomes: readonly (readonly [TransferReport['outcome'], number])[]): PeerScores {
  const scores = new PeerScores()
  for (const [outcome, nowMs] of outcomes) {
    scores.started(peer)
    scores.finished(report(outcome), nowMs)
  }
  return scores
}

test('transfers in flight are counted until they end', () => {
  const scores = new PeerScores()
  scores.started(peer)
  scores.started(peer)
  assert.equal(scores.standing(peer, 0).inFlight, 2)
  scores.finished(report('complete'), 1)
  assert.equal(scores.standing(peer, 1).inFlight, 1)
})

for (const outcome of ['refused', 'unreachable', 'broken', 'stalled'] as const) {
  test(`a peer that was ${outcome} rests for the base of the back-off`, () => {
    const scores = after([[outcome, 1000]])
    assert.equal(scores.standing(peer, 1000 + defaultBackOff.baseMs - 1).state, 'resting')
    assert.equal(scores.standing(peer, 1000 + defaultBackOff.baseMs).state, 'ready')
  })
}

test('the back-off doubles with each failure in a row up to a ceiling', () => {
  const scores = new PeerScores()
  let nowMs = 0
  const waits: number[] = []
  for (let failure = 0; failure < 10; failure++) {
    scores.started(peer)
    scores.finished(report('stalled'), nowMs)
    const { readyAtMs } = scores.standing(peer, nowMs)
    waits.push(readyAtMs - nowMs)
    nowMs = readyAtMs
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000])
})

test('transfers that fail together count as one failure', () => {
  const scores = after([
    ['broken', 0],
    ['broken', 1],
    ['broken', 2],
  ])
  assert.equal(scores.standing(peer, 3).failures, 1)
})

test('a complete transfer resets the back-off', () => {
  const scores = after([
    ['stalled', 0],
    ['stalled', 600],
    ['complete', 2000],
  ])
  assert.deepEqual(scores.standing(peer, 2000), { inFlight: 0, failures: 0, state: 'ready', readyAtMs: 0 })
  assert.equal(scores.size, 0)
})

test('failures are forgotten when there was none for a long time', () => {
  const scores = after([['stalled', 0]])
  assert.equal(scores.standing(peer, defaultBackOff.forgetMs - 1).failures, 1)
  scores.standing(peer, defaultBackOff.forgetMs)
  assert.equal(scores.standing(peer, defaultBackOff.forgetMs).failures, 0)
})

test('a cancelled transfer and a blob that the peer does not have are no failures', () => {
  const scores = new PeerScores()
  scores.finished(report('cancelled'), 0)
  scores.finished(report('refused', 404), 0)
  assert.equal(scores.standing(peer, 0).state, 'ready')
  assert.equal(scores.size, 0)
  scores.finished(report('refused', 500), 0)
  assert.equal(scores.standing(peer, 0).state, 'resting')
})
