import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Claimant, type ClaimantEffect, type Want } from '../../lib/flights/claimant.ts'
import type { FlightMessage } from '../../lib/flights/messages.ts'
import { defaultFlightSettings } from '../../lib/flights/settings.ts'
import { digestOf, key, peer } from './support.ts'

const settings = defaultFlightSettings
const [first, second, parent] = [peer(1), peer(2), peer(3)]
const seen = { state: 'open', offset: 0, sizeBytes: 100 } as const

function want(request: number, more: Partial<Want> = {}): { type: 'want' } & Want {
  const stewards = [first, second].map((peerId) => ({ peerId, budgetMs: 20 }))
  return { type: 'want', request, ...key, seen, slots: 4, lost: [], holders: [], stewards, ...more }
}

function claimant(): Claimant {
  return new Claimant(settings, () => first)
}

function verdict(id: number, what: 'lead' | 'follow' | 'none', from = first, intervalMs = 500) {
  const message: FlightMessage = {
    type: 'verdict',
    id,
    verdict: what,
    parent: what === 'follow' ? parent : undefined,
    intervalMs,
  }
  return { type: 'message', from, message } as const
}

function verdicts(effects: readonly ClaimantEffect[]): unknown[] {
  return effects.flatMap((effect) =>
    effect.type === 'verdict' ? [[effect.request, effect.parent ?? effect.verdict]] : [],
  )
}

function sent(effects: readonly ClaimantEffect[], type: FlightMessage['type']): unknown[] {
  return effects.flatMap((effect) =>
    effect.type === 'send' && effect.message.type === type ? [effect.to] : [],
  )
}

test('a claim goes to the first steward, then to the second, then upstream, within its budgets', () => {
  const own = claimant()
  assert.deepEqual(sent(own.step(want(7), 0), 'claim'), [first])
  assert.equal(own.wakeAtMs, 20)
  assert.deepEqual(own.step({ type: 'wake' }, 19), [])
  assert.deepEqual(sent(own.step({ type: 'wake' }, 20), 'claim'), [second])
  assert.deepEqual(verdicts(own.step({ type: 'wake' }, 40)), [[7, 'upstream']])
  own.step({ type: 'wake' }, 5000)
  assert.equal(own.wakeAtMs, undefined)
})

test('a steward that was silent a moment ago is asked and not waited for, until it is heard', () => {
  const own = claimant()
  const another = (name: string) => ({ registry: key.registry, digest: digestOf(name) })
  own.step(want(1), 0)
  own.step({ type: 'wake' }, 20)
  own.step(verdict(1, 'none', second), 21)
  assert.deepEqual(sent(own.step(want(2, another('b')), 30), 'claim'), [first, second])
  assert.deepEqual(verdicts(own.step(verdict(2, 'none', second), 31)), [[2, 'upstream']])
  own.step(want(3, another('c')), 40)
  assert.deepEqual(verdicts(own.step(verdict(3, 'lead', first), 41)), [[3, 'lead']], 'it counts if it comes')
  assert.deepEqual(sent(own.step(want(4, another('d')), 50), 'claim'), [first])
})

test('a steward that membership suspects is asked and not waited for; where both are, one budget is the bound', () => {
  const stewards = [first, second].map((peerId) => ({ peerId, budgetMs: 20, doubtful: true }))
  const own = claimant()
  assert.deepEqual(sent(own.step(want(1, { stewards }), 0), 'claim'), [first, second])
  assert.deepEqual(verdicts(own.step({ type: 'wake' }, 20)), [[1, 'upstream']])
  own.step(want(2, { stewards, registry: key.registry, digest: digestOf('b') }), 30)
  assert.deepEqual(verdicts(own.step(verdict(2, 'lead', first), 31)), [[2, 'lead']], 'it counts if it comes')
})

test('the second steward is heard only where the first one stays silent for a while: two of them make two trees', () => {
  const own = claimant()
  own.step(want(1), 0)
  own.step({ type: 'wake' }, 20)
  assert.deepEqual(verdicts(own.step(verdict(1, 'lead', second), 25)), [], 'the first may be only slow')
  const late = own.step(verdict(1, 'follow', first), 60)
  assert.deepEqual(verdicts(late), [[1, parent]])
  assert.deepEqual(sent(late, 'progress'), [second], 'it forgets what it arranged')
  assert.equal(own.roles.size, 1)
})

test('a first steward that stays silent delays the answer of the second by its grace, and no more', () => {
  const own = claimant()
  own.step(want(1), 0)
  own.step({ type: 'wake' }, 20)
  assert.deepEqual(verdicts(own.step(verdict(1, 'lead', second), 25)), [])
  assert.equal(own.wakeAtMs, 20 + settings.firstGraceMs)
  assert.deepEqual(verdicts(own.step({ type: 'wake' }, 20 + settings.firstGraceMs)), [[1, 'lead']])
})

test('a second steward that answers after the grace is heard at once', () => {
  const own = claimant()
  const stewards = [first, second].map((peerId, index) => ({ peerId, budgetMs: index === 0 ? 20 : 150 }))
  own.step(want(1, { stewards }), 0)
  own.step({ type: 'wake' }, 20)
  assert.deepEqual(verdicts(own.step(verdict(1, 'lead', second), 21 + settings.firstGraceMs)), [[1, 'lead']])
})

test('a node that wakes late gives its steward as much longer, once', () => {
  const own = claimant()
  own.step(want(1), 0)
  assert.deepEqual(own.step({ type: 'wake' }, 50), [], 'it was 30 ms late')
  assert.equal(own.wakeAtMs, 80)
  assert.deepEqual(sent(own.step({ type: 'wake' }, 200), 'claim'), [second])
})

test('where both stewards are silent only the first blobs wait for both', () => {
  const own = claimant()
  const stewards = [
    { peerId: first, budgetMs: 20 },
    { peerId: second, budgetMs: 60 },
  ]
  own.step(want(1, { stewards }), 0)
  own.step({ type: 'wake' }, 20)
  assert.deepEqual(verdicts(own.step({ type: 'wake' }, 80)), [[1, 'upstream']])
  own.step(want(2, { stewards, registry: key.registry, digest: digestOf('b') }), 100)
  assert.deepEqual(verdicts(own.step({ type: 'wake' }, 120)), [[2, 'upstream']])
})

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
  own.step({ type: 'wake' }, 40)
  assert.equal(own.serves(key), false)
  own.step(verdict(1, 'follow'), 60)
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
  own.step({ type: 'message', from: parent, message: word }, 1500)
  assert.equal(own.watch(key, parent, 3400), 'alive')
  assert.equal(own.watch(key, parent, 3600), 'lost', 'no word for two seconds')
  const effects = own.step(want(2, { lost: [parent] }), 3600)
  const [claim] = effects.flatMap((effect) => (effect.type === 'send' ? [effect.message] : []))
  assert.deepEqual(claim?.type === 'claim' && claim.lost, [parent])
})

test('a parent that gives up, or whose download stands still too long, is lost at once', () => {
  for (const more of [{ state: 'gone' }, { state: 'stuck' }, { state: 'open', quietMs: 20_000 }] as const) {
    const own = claimant()
    own.step(want(1), 0)
    own.step(verdict(1, 'follow'), 1)
    assert.equal(own.watch(key, parent, 10), 'alive')
    const word = { type: 'word', ...key, offset: 9, sizeBytes: 100, quietMs: 0, ...more } as const
    own.step({ type: 'message', from: parent, message: word }, 20)
    assert.equal(own.watch(key, parent, 30), 'lost')
  }
})

test('a follower whose parent has more than it takes says so to its children', () => {
  const own = claimant()
  own.step(want(1), 0)
  own.step(verdict(1, 'follow'), 1)
  const stateAt = (nowMs: number): unknown => {
    const [effect] = own.step({ type: 'message', from: peer(8), message: { type: 'ask', ...key } }, nowMs)
    return effect?.type === 'send' && effect.message.type === 'word' && effect.message.state
  }
  assert.equal(stateAt(3000), 'open', 'its parent has no more')
  const word = { type: 'word', ...key, state: 'open', offset: 50, sizeBytes: 100, quietMs: 0 } as const
  own.step({ type: 'message', from: parent, message: word }, 3100)
  assert.equal(stateAt(3200), 'stuck')
  own.step({ type: 'seen', key, progress: { ...seen, offset: 20 } }, 3300)
  assert.equal(stateAt(3400), 'open')
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
