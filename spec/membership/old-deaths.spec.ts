import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Timer } from '../../lib/membership/events.ts'
import { messageType } from '../../lib/membership/messages.ts'
import type { SignedRecord } from '../../lib/membership/record.ts'
import { stateCode } from '../../lib/membership/states.ts'
import { Bench, sent, timers } from './fixtures.ts'

/** A machine without rumours that is told in one exchange that so many of its members are dead. */
function tellDeaths(count: number) {
  const bench = new Bench(60)
  while (bench.machine.gauges().rumours > 0) bench.send(bench.members[0]!, [], { type: messageType.ping })
  const accused = bench.members.slice(10, 10 + count)
  const effects = bench.hear(...accused.map((member) => bench.claim(member, 'dead', 1)))
  return { bench, accused, effects }
}

test('a few deaths that an exchange tells are news for everybody', () => {
  const { bench, accused, effects } = tellDeaths(16)
  assert.equal(bench.machine.gauges().rumours, 16)
  assert.ok(accused.every((member) => bench.view(member)?.state === 'suspect'))
  assert.deepEqual(sent(effects, messageType.gossip), [])
})

test('of many, those who are held for dead are told themselves, so that they refute it', () => {
  const { bench, accused, effects } = tellDeaths(40)
  assert.equal(bench.machine.gauges().rumours, 0)
  assert.ok(accused.every((member) => bench.view(member)?.state === 'suspect'))
  const told = sent(effects, messageType.gossip)
  assert.equal(new Set(told.map(({ to }) => to)).size, 32)
  for (const { to, message } of told) {
    const { shortId } = accused.find((member) => member.record.peerId === to)!
    assert.deepEqual(
      message.claims.map((claim) => [claim.shortId, claim.state, claim.incarnation]),
      [[shortId, stateCode.suspect, 1]],
    )
  }
})

test('many that nobody answers for are dead once their suspicion is over', () => {
  const { bench, accused, effects } = tellDeaths(40)
  for (const timer of timers(effects, 'suspicion')) bench.step({ type: 'timer', timer }, timer.atMs)
  assert.ok(accused.every((member) => bench.view(member)?.state === 'dead'))
})

test('of many who were held for dead and speak at once, one is met with an exchange, and later another', () => {
  const bench = new Bench(60)
  const back = bench.members.slice(0, 30)
  for (const member of back) bench.send(bench.members[40]!, [bench.claim(member, 'dead', 1)])
  const speak = (members: readonly SignedRecord[]) =>
    timers(
      members.flatMap((member) => bench.send(member, [], { incarnation: 2, nowMs: 1000 })),
      'meeting',
    )
  const meet = (timer: Timer) =>
    bench.step({ type: 'timer', timer }, timer.atMs).filter(({ type }) => type === 'push-pull')
  const [first, ...more] = speak(back.slice(0, 20))
  assert.deepEqual(more, [])
  // Within two milliseconds for each of sixty-one members.
  assert.ok(first!.atMs >= 1000 && first!.atMs <= 1122, String(first!.atMs))
  assert.deepEqual(meet(first!), [{ type: 'push-pull', with: back[19]!.record.peerId, isExact: true }])
  const [second] = speak(back.slice(20))
  assert.deepEqual(meet(second!), [{ type: 'push-pull', with: back[29]!.record.peerId, isExact: true }])
  assert.deepEqual(meet(second!), [])
  assert.ok(back.every((member) => bench.view(member)?.state === 'alive'))
})
