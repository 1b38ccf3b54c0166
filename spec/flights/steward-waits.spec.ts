import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Claimant } from '../../lib/flights/claimant.ts'
import {
  claimant,
  first,
  parent,
  second,
  sent,
  settings,
  verdict,
  verdicts,
  want,
  wordIn,
} from './claimant-support.ts'
import { digestOf, key, peer } from './support.ts'

test('a claim goes to the first steward, then to the second, then upstream, within its budgets', () => {
  const own = claimant()
  assert.deepEqual(sent(own.step(want(7), 0), 'claim'), [first])
  assert.equal(own.wakeAtMs, 20)
  assert.deepEqual(own.step({ type: 'wake' }, 19), [])
  assert.deepEqual(sent(own.step({ type: 'wake' }, 20), 'claim'), [second])
  assert.equal(own.wakeAtMs, 20 + settings.secondBudgetMs)
  assert.deepEqual(verdicts(own.step({ type: 'wake' }, 170)), [[7, 'upstream']])
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

test('where both stewards are silent only the first blob waits for both', () => {
  const own = claimant()
  own.step(want(1), 0)
  own.step({ type: 'wake' }, 20)
  assert.deepEqual(verdicts(own.step({ type: 'wake' }, 170)), [[1, 'upstream']])
  own.step(want(2, { registry: key.registry, digest: digestOf('b') }), 200)
  assert.deepEqual(verdicts(own.step({ type: 'wake' }, 220)), [[2, 'upstream']])
})

test('where answers have been quick the last wait is short, also for the first blob whose stewards are silent', () => {
  const own = claimant()
  own.step(want(1), 0)
  own.step(verdict(1, 'lead'), 2)
  own.step(want(2, { registry: key.registry, digest: digestOf('b') }), 1000)
  own.step({ type: 'wake' }, 1020)
  assert.deepEqual(verdicts(own.step({ type: 'wake' }, 1040)), [[2, 'upstream']])
})

test('where answers have been quick a first steward that is silent delays the answer of the second a little', () => {
  const own = claimant()
  own.step(want(1), 0)
  own.step(verdict(1, 'lead'), 2)
  own.step(want(2, { registry: key.registry, digest: digestOf('b') }), 1000)
  own.step({ type: 'wake' }, 1020)
  own.step(verdict(2, 'lead', second), 1022)
  assert.deepEqual(verdicts(own.step({ type: 'wake' }, 1030)), [[2, 'lead']])
})

test('how quickly this node answers itself says nothing of the others', () => {
  const own = claimant()
  const stewards = [
    { peerId: first, budgetMs: 20, self: true },
    { peerId: second, budgetMs: 20 },
  ]
  own.step(want(1, { stewards }), 0)
  own.step(verdict(1, 'lead'), 0)
  own.step(want(2, { registry: key.registry, digest: digestOf('b') }), 1000)
  own.step({ type: 'wake' }, 1020)
  assert.equal(own.wakeAtMs, 1020 + settings.secondBudgetMs)
})

test('a slow answer makes the next waits longer, even one that came too late', () => {
  const own = claimant()
  own.step(want(1), 0)
  own.step(verdict(1, 'lead'), 2)
  const another = { registry: key.registry, digest: digestOf('b') }
  own.step(want(2, another), 1000)
  own.step({ type: 'wake' }, 1020)
  own.step({ type: 'wake' }, 1040)
  own.step(verdict(2, 'none'), 1060)
  own.step(want(3, { ...another, digest: digestOf('c') }), 2000)
  own.step({ type: 'wake' }, 2020)
  assert.equal(own.wakeAtMs, 2020 + 4 * 60, 'it took 60 ms')
})

test('who follows somebody, or is followed, waits long for a steward: to go upstream would cost a copy', () => {
  const signs: ((own: Claimant) => void)[] = [
    (own) => void own.step({ type: 'followed' }, 2),
    (own) => void own.step(verdict(1, 'follow'), 2),
  ]
  for (const sign of signs) {
    const own = claimant()
    own.step(want(1), 0)
    sign(own)
    own.step(want(2, { registry: key.registry, digest: digestOf('b') }), 1000)
    own.step({ type: 'wake' }, 1020)
    assert.deepEqual(verdicts(own.step(verdict(2, 'lead', second), 1030)), [], 'the first goes before')
    assert.deepEqual(verdicts(own.step({ type: 'wake' }, 1020 + settings.crowdGraceMs)), [[2, 'lead']])
    own.step(want(3, { registry: key.registry, digest: digestOf('c') }), 2000)
    own.step({ type: 'wake' }, 2000 + settings.crowdBudgetMs - 1)
    assert.deepEqual(verdicts(own.step(verdict(3, 'follow'), 2000 + settings.crowdBudgetMs)), [[3, parent]])
  }
})

test('that others pull the same counts for a claim that waits already, also when an answer that came too late says so', () => {
  const own = claimant()
  const another = (name: string) => ({ registry: key.registry, digest: digestOf(name) })
  own.step(want(1), 0)
  own.step({ type: 'wake' }, 20)
  own.step(verdict(1, 'lead', second), 21)
  assert.deepEqual(verdicts(own.step({ type: 'wake' }, 20 + settings.firstGraceMs)), [[1, 'lead']])
  own.step(want(2, another('b')), 200)
  own.step({ type: 'wake' }, 220)
  own.step(verdict(1, 'follow', peer(9)), 225)
  assert.ok((own.wakeAtMs ?? 0) < 1000, 'who was not asked teaches nothing')
  own.step(verdict(1, 'follow', first), 230)
  assert.deepEqual(verdicts(own.step({ type: 'wake' }, 200 + settings.crowdBudgetMs - 1)), [])
  assert.deepEqual(verdicts(own.step({ type: 'wake' }, 200 + settings.crowdBudgetMs)), [[2, 'upstream']])
})

test('a crowd, too, waits long for stewards that are silent only once', () => {
  const own = claimant()
  const another = (name: string) => ({ registry: key.registry, digest: digestOf(name) })
  own.step({ type: 'followed' }, 0)
  own.step(want(1), 0)
  own.step({ type: 'wake' }, 20)
  assert.deepEqual(verdicts(own.step({ type: 'wake' }, 1000)), [])
  assert.deepEqual(verdicts(own.step({ type: 'wake' }, 20 + settings.crowdBudgetMs)), [[1, 'upstream']])
  own.step(want(2, another('b')), 2000)
  assert.deepEqual(verdicts(own.step({ type: 'wake' }, 2020)), [[2, 'upstream']])
})

test('a parent that was named before it heard its own verdict is not gone for those who follow it', () => {
  const own = claimant()
  own.step(want(1), 0)
  assert.equal(own.serves(key), true)
  const ask = { type: 'message', from: peer(8), message: { type: 'ask', ...key } } as const
  assert.equal(wordIn(own.step(ask, 10)), 'open')
  own.step(verdict(1, 'none'), 15)
  assert.equal(own.serves(key), false)
  assert.equal(wordIn(own.step(ask, 20)), 'gone')
})
