import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ClaimantEffect } from '../../lib/flights/claimant-events.ts'
import {
  claimant,
  first,
  parent,
  second,
  seen,
  sent,
  settings,
  verdict,
  verdicts,
  want,
  wordIn,
} from './claimant-support.ts'
import { digestOf, key, peer } from './support.ts'

test('requests for the same blob share one claim, and who leads tells every further one at once', () => {
  const own = claimant()
  own.step(want(1), 0)
  assert.deepEqual(own.step(want(2), 1), [])
  assert.deepEqual(verdicts(own.step(verdict(1, 'lead'), 2)), [
    [1, 'lead'],
    [2, 'lead'],
  ])
  assert.deepEqual(verdicts(own.step(want(3), 3)), [[3, 'lead']])
})

test('an answer from somebody who was not asked counts for nothing', () => {
  const own = claimant()
  own.step(want(1), 0)
  assert.deepEqual(own.step(verdict(1, 'lead', peer(9)), 1), [])
  assert.deepEqual(verdicts(own.step(verdict(1, 'lead', second), 2)), [[1, 'lead']])
})

test('who goes upstream because the answer came late leads those who were told to follow', () => {
  const own = claimant()
  own.step(want(1), 0)
  own.step({ type: 'wake' }, 20)
  assert.deepEqual(verdicts(own.step({ type: 'wake' }, 170)), [[1, 'upstream']])
  assert.equal(own.hasRole(key), false)
  own.step(verdict(1, 'follow'), 190)
  assert.deepEqual(
    [...own.roles.values()].map(({ role }) => role),
    ['lead'],
  )
})

test('a follower asks its parent, and claims anew when the parent is lost', () => {
  const own = claimant()
  own.step(want(1), 0)
  assert.deepEqual(verdicts(own.step(verdict(1, 'follow'), 1)), [[1, parent]])
  assert.deepEqual(sent(own.step({ type: 'wake' }, 501), 'ask'), [parent])
  const word = { type: 'word', ...key, state: 'open', offset: 9, sizeBytes: 100, quietMs: 19_000 } as const
  own.step({ type: 'message', from: parent, message: word }, 510)
  assert.equal(own.watch(key, parent, 0, 2400), 'alive')
  assert.equal(own.watch(key, parent, 0, 2600), 'alive', 'it has not been asked: this node had no processor')
  for (const nowMs of [2600, 3100, 3600]) own.step({ type: 'wake' }, nowMs)
  assert.equal(own.watch(key, parent, 0, 3700), 'lost', 'it does not answer')
  const effects = own.step(want(2, { lost: [parent] }), 3700)
  const [claim] = effects.flatMap((effect) => (effect.type === 'send' ? [effect.message] : []))
  assert.deepEqual(claim?.type === 'claim' && claim.lost, [parent])
})

test('a parent is asked only while none of its bytes come', () => {
  const own = claimant()
  own.step(want(1), 0)
  own.step(verdict(1, 'follow'), 1)
  const asksAt = (nowMs: number) => sent(own.step({ type: 'wake' }, nowMs), 'ask').length
  own.watch(key, parent, 1000, 400)
  assert.equal(asksAt(501), 0)
  own.watch(key, parent, 1000, 800)
  assert.equal(asksAt(1001), 1, 'nothing has come since')
  own.watch(key, parent, 2000, 1400)
  assert.equal(asksAt(1501), 0)
})

test('bytes of a parent are as good as its words, and where answers are slow it may be silent for longer', () => {
  const own = claimant()
  own.step(want(1), 0)
  own.step(verdict(1, 'follow'), 1)
  const ask = (untilMs: number): void => {
    for (let nowMs = own.wakeAtMs ?? 0; nowMs <= untilMs; nowMs = own.wakeAtMs ?? untilMs + 1)
      own.step({ type: 'wake' }, nowMs)
  }
  ask(2500)
  assert.equal(own.watch(key, parent, 1000, 2500), 'alive', 'bytes came')
  ask(4700)
  assert.equal(own.watch(key, parent, 1000, 4700), 'lost')
  const word = { type: 'word', ...key, state: 'open', offset: 9, sizeBytes: 100, quietMs: 0 } as const
  own.step({ type: 'message', from: parent, message: word }, 4800)
  ask(7500)
  assert.equal(own.watch(key, parent, 1000, 7500), 'alive', 'its last word took over a second')
  ask(15_000)
  assert.equal(own.watch(key, parent, 1000, 15_000), 'lost')
})

test('a parent that gives up, or whose download stands still too long, is lost at once', () => {
  for (const more of [{ state: 'gone' }, { state: 'stuck' }, { state: 'open', quietMs: 20_000 }] as const) {
    const own = claimant()
    own.step(want(1), 0)
    own.step(verdict(1, 'follow'), 1)
    assert.equal(own.watch(key, parent, 0, 10), 'alive')
    const word = { type: 'word', ...key, offset: 9, sizeBytes: 100, quietMs: 0, ...more } as const
    own.step({ type: 'message', from: parent, message: word }, 20)
    assert.equal(own.watch(key, parent, 0, 30), 'lost')
  }
})

test('a follower that takes nothing of what its parent has says so to its children, and not before it could take it', () => {
  const own = claimant()
  own.step(want(1), 0)
  own.step(verdict(1, 'follow'), 1)
  const ask = { type: 'message', from: peer(8), message: { type: 'ask', ...key } } as const
  const parentHas = (offset: number, nowMs: number): void => {
    const word = { type: 'word', ...key, state: 'open', offset, sizeBytes: 100, quietMs: 0 } as const
    own.step({ type: 'message', from: parent, message: word }, nowMs)
  }
  assert.equal(wordIn(own.step(ask, 3000)), 'open', 'its parent has no more')
  parentHas(50, 3100)
  assert.equal(wordIn(own.step(ask, 3200)), 'open', 'that was only now to be had')
  assert.equal(wordIn(own.step(ask, 5100)), 'stuck')
  own.watch(key, parent, 20, 5200)
  assert.equal(wordIn(own.step(ask, 5300)), 'open', 'it takes some, though its store does not show it yet')
  parentHas(60, 6000)
  assert.equal(wordIn(own.step(ask, 7200)), 'stuck')
  own.step({ type: 'seen', key, progress: { ...seen, offset: 30 } }, 7300)
  assert.equal(wordIn(own.step(ask, 9200)), 'open')
  own.watch(key, parent, 60, 9250)
  assert.equal(wordIn(own.step(ask, 12_000)), 'open', 'it has all that its parent has')
})

test('a role ends, and the steward is told, when its download vanishes, stands still or never appears', () => {
  for (const [progress, endsAtMs, why] of [
    [{ ...seen, offset: 40 }, 20_100, 'stalled'],
    [{ ...seen, state: 'absent' }, 5100, 'absent'],
    [{ ...seen, state: 'done', offset: 100 }, 60_100, 'complete'],
  ] as const) {
    const own = claimant()
    own.step(want(1), 0)
    own.step(verdict(1, 'lead'), 1)
    own.step({ type: 'seen', key, progress }, 100)
    assert.ok(!own.step({ type: 'wake' }, endsAtMs - 200).some(({ type }) => type === 'ended'))
    const effects = own.step({ type: 'wake' }, endsAtMs)
    assert.deepEqual(
      effects.find(({ type }) => type === 'ended'),
      { type: 'ended', key, role: 'lead', why },
    )
    assert.deepEqual(sent(effects, 'progress'), [first, second])
    assert.equal(own.wakeAtMs, undefined)
  }
})

test('a download that vanished was cancelled, also after its last byte; wrong is what had another digest', () => {
  for (const [progress, why] of [
    [undefined, 'cancelled'],
    [{ ...seen, state: 'wrong', offset: 100 }, 'wrong'],
  ] as const) {
    const own = claimant()
    own.step(want(1), 0)
    own.step(verdict(1, 'lead'), 1)
    own.step({ type: 'seen', key, progress: { ...seen, offset: 100 } }, 100)
    const effects = own.step({ type: 'seen', key, progress }, 200)
    assert.deepEqual(
      effects.find(({ type }) => type === 'ended'),
      { type: 'ended', key, role: 'lead', why },
    )
    const leads = own.step(want(2, { digest: digestOf('another'), registry: key.registry }), 300)
    assert.equal(slotsOf(leads), why === 'wrong' ? 0 : 4)
  }
})

test('what this node does not know is gone for those who ask', () => {
  const [effect] = claimant().step({ type: 'message', from: peer(8), message: { type: 'ask', ...key } }, 0)
  assert.equal(effect?.type === 'send' && effect.message.type === 'word' && effect.message.state, 'gone')
})

test('who has the whole says so to a child that still takes the last bytes of it', () => {
  const parent = claimant(true)
  parent.step(want(1), 0)
  parent.step(verdict(1, 'lead'), 1)
  const child = { type: 'message', from: peer(8), message: { type: 'ask', ...key } } as const
  assert.equal(wordIn(parent.step(child, 100)), 'open')
  parent.step({ type: 'held', key }, 200)
  assert.equal(wordIn(parent.step(child, 300)), 'done')
})

test('who led with wrong bytes, or is told so, is nobody to follow for a while, whatever the blob', () => {
  const told = { type: 'word', ...key, state: 'wrong', offset: 5, sizeBytes: 100, quietMs: 0 } as const
  for (const event of [
    { type: 'wrong', key } as const,
    { type: 'message', from: first, message: told } as const,
  ]) {
    const own = claimant()
    own.step(want(1), 0)
    own.step(verdict(1, 'lead'), 1)
    own.step({ type: 'message', from: peer(9), message: told }, 2)
    assert.equal(own.serves(key), true, 'only a steward of it is believed')
    own.step(event, 3)
    assert.equal(own.serves(key), false)
    const other = { registry: key.registry, digest: digestOf('another') }
    assert.equal(slotsOf(own.step(want(2, other), 10)), 0)
    const later = settings.barMs + 10
    assert.equal(slotsOf(own.step(want(3, { ...other, digest: digestOf('a third') }), later)), 4)
  }
})

test('a download that took wrong bytes goes on upstream and for itself, until it begins anew', () => {
  const own = claimant()
  own.step(want(1), 0)
  own.step(verdict(1, 'follow'), 1)
  own.step({ type: 'seen', key, progress: { ...seen, offset: 90 } }, 2)
  own.step({ type: 'wrong', key }, 3)
  const resumed = { seen: { ...seen, offset: 95 } }
  assert.deepEqual(verdicts(own.step(want(2, resumed), 4)), [[2, 'upstream']])
  assert.deepEqual(verdicts(own.step(want(3, resumed), 60_000)), [[3, 'upstream']])
  assert.equal(slotsOf(own.step(want(4), 61_000)), 4, 'a new one may be followed: this node did not lead')
})

function slotsOf(effects: readonly ClaimantEffect[]): number | undefined {
  for (const effect of effects)
    if (effect.type === 'send' && effect.message.type === 'claim') return effect.message.slots
  return undefined
}
