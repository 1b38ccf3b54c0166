import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Effect } from '../../lib/membership/events.ts'
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

test('of many who were held for dead and speak at once, one is met with an exchange, and another one later', () => {
  const bench = new Bench(60)
  const back = bench.members.slice(0, 30)
  for (const member of back) bench.send(bench.members[40]!, [bench.claim(member, 'dead', 1)])
  const speak = (member: SignedRecord, nowMs: number) => bench.send(member, [], { incarnation: 2, nowMs })
  const exchanges = (effects: readonly Effect[]) => effects.filter(({ type }) => type === 'push-pull').length
  assert.equal(exchanges(back.slice(0, 10).flatMap((member) => speak(member, 1000))), 1)
  // Sixty milliseconds on average, for sixty-one members.
  assert.equal(exchanges(back.slice(10, 20).flatMap((member) => speak(member, 1040))), 0)
  assert.equal(exchanges(back.slice(20).flatMap((member) => speak(member, 1080))), 1)
  assert.ok(back.every((member) => bench.view(member)?.state === 'alive'))
})
