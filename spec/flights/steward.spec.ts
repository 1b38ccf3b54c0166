import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { FlightMessage } from '../../lib/flights/messages.ts'
import { defaultFlightSettings } from '../../lib/flights/settings.ts'
import { Steward } from '../../lib/flights/steward.ts'
import { ask, key, peer, tell } from './support.ts'

const mib = 2 ** 20
const settings = defaultFlightSettings

function depths(steward: Steward): number[] {
  return steward.summaries()[0]?.participants.map(({ depth }) => depth) ?? []
}

test('the first to claim leads, and of a large blob each further one follows the last', () => {
  const steward = new Steward(settings)
  assert.equal(ask(steward, peer(0), 0), 'lead')
  for (let index = 1; index < 8; index++) assert.equal(ask(steward, peer(index), index), peer(index - 1))
  assert.equal(ask(steward, peer(0), 10), 'lead', 'who leads and asks again still leads')
  assert.equal(ask(steward, peer(3), 10), peer(2), 'who follows and asks again follows the same')
})

test('small blobs and many nodes make trees whose depth grows like a logarithm', () => {
  const small = new Steward(settings)
  for (let index = 0; index < 85; index++) ask(small, peer(index), index, { sizeBytes: 1000 })
  assert.equal(Math.max(...depths(small)), 3, '1 + 4 + 16 + 64')
  const large = new Steward(settings)
  for (let index = 0; index < 1000; index++) ask(large, peer(index), 1)
  assert.ok(Math.max(...depths(large)) <= settings.maxChain + Math.log2(1000))
})

test('a node that shows no download may follow and never leads nor is followed', () => {
  const steward = new Steward(settings)
  assert.equal(ask(steward, peer(0), 0, { slots: 0 }), 'none')
  assert.equal(steward.size, 0)
  assert.equal(ask(steward, peer(1), 0), 'lead')
  assert.equal(ask(steward, peer(0), 0, { slots: 0 }), peer(1))
  assert.equal(ask(steward, peer(2), 0, {}), peer(1), 'not the one without slots')
})

test('complete holders are parents before anybody leads, each with one child at first', () => {
  const steward = new Steward(settings)
  const holders = [peer(100), peer(101)]
  assert.equal(ask(steward, peer(0), 0, { holders }), peer(100))
  assert.equal(ask(steward, peer(1), 0, { holders }), peer(101))
  assert.equal(ask(steward, peer(2), 0, { holders }), peer(0))
})

test('a parent whose child falls far behind gives what its uplink gives, and gets no further one while others have room', () => {
  const steward = new Steward(settings)
  for (const index of [0, 1]) ask(steward, peer(index), 0)
  const claimed = (who: number): string => ask(steward, peer(who), 5000, { sizeBytes: mib })
  tell(steward, peer(0), 4900, { role: 'lead', offset: 300 * mib, sizeBytes: 400 * mib })
  tell(steward, peer(1), 4900, { parent: peer(0), offset: 290 * mib })
  assert.equal(claimed(2), peer(0), 'a small blob has many children')
  tell(steward, peer(1), 5000, { parent: peer(0), offset: 200 * mib })
  assert.equal(claimed(3), peer(1))
  tell(steward, peer(1), 5000, { parent: peer(0), offset: 200 * mib, slots: 1 })
  tell(steward, peer(2), 5000, { parent: peer(0), offset: 0, slots: 0 })
  tell(steward, peer(3), 5000, { parent: peer(1), offset: 0, slots: 0 })
  assert.equal(claimed(4), peer(0), 'better than none')
})

test('the own zone comes first', () => {
  const steward = new Steward(settings)
  ask(steward, peer(0), 0, { zone: 'a' })
  assert.equal(ask(steward, peer(1), 0, { zone: 'b' }), peer(0))
  assert.equal(ask(steward, peer(2), 0, { zone: 'a' }), peer(0), 'not the tail of the chain, which is in b')
  assert.equal(ask(steward, peer(3), 0, { zone: 'b' }), peer(1))
})

test('whoever loses the leader first goes on for all, and the others find their way to it', () => {
  const steward = new Steward(settings)
  for (let index = 0; index < 4; index++) ask(steward, peer(index), 0)
  assert.equal(ask(steward, peer(1), 100, { offset: 50 * mib, lost: [peer(0)] }), 'lead')
  assert.equal(ask(steward, peer(9), 120), peer(3), 'the chain hangs on the new leader')
  tell(steward, peer(0), 140, { role: 'lead' })
  assert.equal(ask(steward, peer(2), 150, { lost: [peer(1)] }), peer(0), 'the old one still speaks')
})

test('of those who lose the leader the most advanced leads, whoever is the first to notice', () => {
  const steward = new Steward(settings)
  const small = { sizeBytes: mib }
  for (let index = 0; index < 4; index++) ask(steward, peer(index), 0, small)
  for (const [index, offset] of [10, 30, 20].entries())
    tell(steward, peer(index + 1), 100, { parent: peer(0), offset: offset * mib })
  const lost = { ...small, lost: [peer(0)] }
  assert.equal(ask(steward, peer(1), 200, { ...lost, offset: 10 * mib }), peer(2))
  assert.equal(ask(steward, peer(2), 210, { ...lost, offset: 30 * mib }), 'lead')
  assert.equal(ask(steward, peer(3), 220, { ...lost, offset: 20 * mib }), peer(2))
  const both = { ...small, lost: [peer(0), peer(2)] }
  assert.equal(ask(steward, peer(1), 300, { ...both, offset: 10 * mib }), peer(3))
  assert.equal(ask(steward, peer(3), 310, { ...both, offset: 20 * mib }), 'lead')
})

test('a parent in the middle that is lost is passed over', () => {
  const steward = new Steward(settings)
  for (let index = 0; index < 4; index++) ask(steward, peer(index), 0)
  assert.equal(ask(steward, peer(2), 10, { lost: [peer(1)] }), peer(0))
  assert.equal(ask(steward, peer(2), 20, { lost: [peer(0), peer(1)] }), 'lead')
})

test('who led with wrong bytes leads nobody for a while, is told so, and the flight is over at once', () => {
  const steward = new Steward(settings)
  for (let index = 0; index < 3; index++) ask(steward, peer(index), 0)
  const effects = tell(steward, peer(2), 10, { state: 'wrong' })
  assert.deepEqual(effects[0], { type: 'barred', peerId: peer(0), key })
  const [, told] = effects
  assert.ok(told?.type === 'send' && told.to === peer(0))
  assert.ok(told.message.type === 'word' && told.message.state === 'wrong')
  assert.equal(steward.size, 0)
  assert.equal(ask(steward, peer(0), 20), 'none')
  assert.equal(ask(steward, peer(1), 20), 'lead')
  assert.equal(ask(steward, peer(0), 20), peer(1))
  steward.step({ type: 'tick' }, settings.barMs + 10_000)
  assert.equal(ask(steward, peer(0), settings.barMs + 10_000), 'lead')
})

test('a download that took wrong bytes is followed by nobody until it begins anew, whatever its node says', () => {
  const steward = new Steward(settings)
  for (let index = 0; index < 4; index++) ask(steward, peer(index), 0)
  tell(steward, peer(1), 10, { state: 'wrong' })
  tell(steward, peer(0), 1500, { role: 'lead', offset: 9 * mib })
  tell(steward, peer(2), 1500, { parent: peer(1), offset: 8 * mib })
  tell(steward, peer(3), 1500, { parent: peer(2), offset: 7 * mib })
  assert.equal(steward.size, 0, 'what they say is not heard')
  assert.equal(ask(steward, peer(2), 1600, { offset: 8 * mib, lost: [peer(1)] }), 'none')
  assert.equal(ask(steward, peer(9), 1700), 'lead', 'one that has nothing of it begins')
  assert.equal(ask(steward, peer(2), 1800), peer(9))
})

test('nobody is to blame for wrong bytes whose origin the steward does not know', () => {
  const steward = new Steward(settings)
  tell(steward, peer(2), 0, { parent: peer(1) })
  assert.deepEqual(tell(steward, peer(2), 10, { state: 'wrong' }), [])
  assert.equal(ask(steward, peer(1), 20), 'lead')
})

test('a new steward learns a flight from the words of those who fly', () => {
  const steward = new Steward(settings)
  tell(steward, peer(2), 0, { role: 'follow', parent: peer(1), offset: 5 })
  assert.deepEqual(depths(steward), [1, 0], 'its parent stands there before it has spoken')
  tell(steward, peer(1), 0, { role: 'lead', offset: 7 })
  assert.equal(ask(steward, peer(3), 10), peer(2))
  assert.equal(ask(steward, peer(1), 10, { lost: [peer(9)] }), 'lead', 'not below those who are below it')
})

test('what nobody renews is forgotten', () => {
  const steward = new Steward(settings)
  for (let index = 0; index < 10; index++) ask(steward, peer(index), 0, { holders: [peer(50)] })
  tell(steward, peer(1), 5000)
  steward.step({ type: 'tick' }, 6000)
  steward.step({ type: 'tick' }, 6000)
  assert.deepEqual(
    steward.summaries()[0]?.participants.map(({ peerId }) => peerId),
    [peer(1)],
  )
  steward.step({ type: 'tick' }, 20_000)
  assert.equal(steward.size, 0)
})

test('no cycle, no parent with more children than it has slots, and nothing is left of soft state', () => {
  const step = fc.record({
    who: fc.nat(14),
    what: fc.constantFrom('claim', 'claim', 'claim', 'lost', 'progress', 'gone', 'wrong', 'dead', 'tick'),
    other: fc.nat(14),
    slots: fc.nat(4),
    sizeBytes: fc.constantFrom(undefined, 100, 8 * mib, 200 * mib),
    afterMs: fc.nat(1500),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const steward = new Steward(settings)
      let nowMs = 0
      for (const { who, what, other, slots, sizeBytes, afterMs } of steps) {
        nowMs += afterMs
        const from = peer(who)
        const lost = what === 'lost' ? [peer(other)] : []
        if (what === 'claim' || what === 'lost') {
          const verdict = ask(steward, from, nowMs, { slots, sizeBytes, lost, zone: `z${who % 3}` })
          assert.notEqual(verdict, from)
          assert.ok(!lost.some((peerId) => peerId === verdict))
        } else if (what === 'dead') steward.step({ type: 'member-gone', peerId: from }, nowMs)
        else if (what === 'tick') steward.step({ type: 'tick' }, nowMs)
        else {
          const state = what === 'progress' ? 'open' : (what as 'gone' | 'wrong')
          const more: Partial<Extract<FlightMessage, { type: 'progress' }>> = {
            slots,
            parent: peer(other),
            state,
          }
          tell(steward, from, nowMs, more)
        }
        for (const { participants } of steward.summaries()) {
          const parents = new Map(participants.map(({ peerId, parent }) => [peerId, parent]))
          const children = new Map<string, number>()
          for (const { peerId, parent, depth } of participants) {
            let at = parent
            let steps = 0
            for (; at !== undefined; at = parents.get(at))
              assert.ok(++steps <= participants.length, 'a cycle')
            if (parent === undefined) continue
            assert.equal(depth, (participants.find((one) => one.peerId === parent)?.depth ?? 0) + 1)
            children.set(parent, (children.get(parent) ?? 0) + 1)
            assert.ok(parents.has(parent), `${peerId} hangs on somebody unknown`)
          }
          for (const many of children.values()) assert.ok(many <= settings.maxFanout)
        }
      }
      steward.step({ type: 'tick' }, nowMs + settings.barMs)
      assert.equal(steward.size, 0)
    }),
    { numRuns: 300 },
  )
})
