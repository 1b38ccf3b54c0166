import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Timer } from '../../lib/membership/events.ts'
import { encodeMessage, messageType } from '../../lib/membership/messages.ts'
import { Bench, makeIdentity, makeSigned, sent, timers } from './fixtures.ts'

/** Starts the machine and lets rounds pass until it probes for the first time. */
function firstProbe(bench: Bench) {
  let effects = bench.step({ type: 'start' })
  for (;;) {
    const round: Timer = timers(effects, 'round')[0]!
    effects = bench.step({ type: 'timer', timer: round }, round.atMs)
    if (bench.machine.gauges().probes > 0) return { effects, nowMs: round.atMs, round }
  }
}

test('new members are left alone for five seconds, unless somebody noticed something', () => {
  const bench = new Bench(3)
  assert.ok(firstProbe(bench).nowMs >= 5000)
  const other = new Bench(3)
  const effects = other.step({ type: 'hint', peerId: other.members[0]!.record.peerId, hint: 'closed' })
  assert.equal(sent(effects, messageType.ping).length, 1)
  assert.equal(effects.filter(({ type }) => type === 'tcp-probe').length, 1)
})

test('a round pings one member; silence brings three helpers and a TCP probe, then a suspicion', () => {
  const bench = new Bench(6)
  const { effects, nowMs } = firstProbe(bench)
  const [ping] = sent(effects, messageType.ping)
  assert.ok(ping !== undefined)
  const [pingTimer] = timers(effects, 'ping')
  const [endTimer] = timers(effects, 'probe')
  assert.equal(pingTimer!.atMs - nowMs, 500)
  const second = bench.step({ type: 'timer', timer: pingTimer! }, pingTimer!.atMs)
  assert.equal(new Set(sent(second, messageType.pingReq).map(({ to }) => to)).size, 3)
  assert.equal(second.filter(({ type }) => type === 'tcp-probe').length, 1)
  bench.step({ type: 'timer', timer: endTimer! }, endTimer!.atMs)
  assert.equal(bench.machine.get(ping.to)?.state, 'suspect')
})

test('what TCP finds decides: refused is a suspicion that says so, accepted but silent is stalled', () => {
  for (const [result, state] of [
    ['refused', 'suspect'],
    ['accepted', 'stalled'],
    ['silent', 'suspect'],
  ] as const) {
    const bench = new Bench(4)
    const { effects } = firstProbe(bench)
    const [ping] = sent(effects, messageType.ping)
    const [pingTimer] = timers(effects, 'ping')
    bench.step({ type: 'timer', timer: pingTimer! }, pingTimer!.atMs)
    const after = bench.step({ type: 'tcp-result', token: pingTimer!.token, result }, pingTimer!.atMs)
    const end = timers(result === 'silent' ? effects : after, 'probe')[0]!
    const last = bench.step({ type: 'timer', timer: end }, end.atMs)
    assert.equal(bench.machine.get(ping!.to)?.state, state)
    const told = sent(last, messageType.gossip).flatMap(({ message }) => message.claims)
    assert.equal(
      told.some((claim) => claim.refused === 1),
      result === 'refused',
    )
  }
})

test('an acknowledgement ends the probe and measures the round trip; one from somebody else does not', () => {
  const bench = new Bench(4)
  const { effects, nowMs } = firstProbe(bench)
  const [ping] = sent(effects, messageType.ping)
  const { sequence } = ping!.message
  const target = bench.members.find(({ record }) => record.peerId === ping!.to)!
  const stranger = bench.members.find(({ record }) => record.peerId !== ping!.to)!
  bench.send(stranger, [], { type: messageType.ack, sequence, nowMs: nowMs + 5 })
  assert.equal(bench.machine.gauges().probes, 1)
  bench.send(target, [], { type: messageType.ack, sequence, nowMs: nowMs + 10 })
  assert.equal(bench.machine.gauges().probes, 0)
  assert.equal(bench.view(target)?.rttMs, 10)
})

test('a stale timer does nothing', () => {
  const bench = new Bench(3)
  const { round } = firstProbe(bench)
  const effects = bench.step({ type: 'timer', timer: round }, round.atMs)
  assert.deepEqual(effects, [{ type: 'observed', what: 'stale-timer' }])
})

test('a ping is answered where it came from, and one for another node is not', () => {
  const bench = new Bench(2)
  const [member] = bench.members
  const [ack] = sent(bench.send(member!, [], { type: messageType.ping, sequence: 9 }), messageType.ack)
  assert.deepEqual(ack?.endpoint, { host: '10.9.9.9', port: 1 })
  assert.equal(ack?.message.sequence, 9)
  const body = encodeMessage({
    type: messageType.ping,
    sequence: 1,
    incarnation: 1,
    hash: member!.hash,
    claims: [],
    target: '00'.repeat(8),
  })
  const effects = bench.step({ type: 'message', from: member!.record.peerId, body, replyTo: undefined })
  assert.equal(sent(effects, messageType.ack).length, 0)
  assert.equal(bench.observed('misdelivered'), 1)
})

test('a node that is asked to help pings the third and passes on the answer, or a nack', () => {
  const bench = new Bench(3)
  const [asker, target] = bench.members
  const body = encodeMessage({
    type: messageType.pingReq,
    sequence: 5,
    incarnation: 1,
    hash: asker!.hash,
    claims: [],
    target: target!.shortId,
  })
  const ask = () => bench.step({ type: 'message', from: asker!.record.peerId, body, replyTo: undefined })
  const [ping] = sent(ask(), messageType.ping)
  assert.equal(ping?.to, target!.record.peerId)
  const answer = bench.send(target!, [], { type: messageType.ack, sequence: ping!.message.sequence })
  assert.equal(sent(answer, messageType.ack)[0]?.message.sequence, 5)
  const [relay] = timers(ask(), 'relay')
  const nack = bench.step({ type: 'timer', timer: relay! }, relay!.atMs)
  assert.equal(sent(nack, messageType.nack)[0]?.to, asker!.record.peerId)
})

test('a rumour of my own suspicion, death or goodbye is refuted with a higher incarnation', () => {
  for (const state of ['suspect', 'stalled', 'dead', 'left'] as const) {
    const bench = new Bench(2)
    bench.send(bench.members[0]!, [bench.claim(bench.own, state, 7)])
    assert.equal(bench.view(bench.own)?.incarnation, 8)
    assert.equal(bench.view(bench.own)?.state, 'alive')
    bench.send(bench.members[0]!, [bench.claim(bench.own, state, 3)])
    assert.equal(bench.view(bench.own)?.incarnation, 8)
  }
})

test('an old record of mine makes me sign a newer one', () => {
  const identity = makeIdentity()
  const bench = new Bench(1)
  const older = makeSigned(
    { peerId: bench.own.record.peerId, sequence: 40 },
    { ...identity, peerId: bench.own.record.peerId },
  )
  const effects = bench.step({ type: 'record', signed: older })
  assert.deepEqual(effects, [{ type: 'own-record-outdated', sequence: 40 }])
})

test('incarnations far in the future are refused, of members and of strangers', () => {
  const bench = new Bench(2)
  const [member] = bench.members
  bench.send(bench.members[1]!, [
    bench.claim(member!, 'dead', 2 ** 31),
    bench.claim(bench.own, 'dead', 2 ** 31),
  ])
  assert.equal(bench.view(member!)?.state, 'alive')
  assert.equal(bench.view(bench.own)?.incarnation, 1)
  bench.hear(bench.claim(makeSigned(), 'alive', 2 ** 30))
  assert.equal(bench.machine.gauges().wants, 0)
  assert.equal(bench.observed('incarnation-refused'), 3)
})

test('a rumour of somebody unknown asks for the record once, and only the live are asked for', () => {
  const bench = new Bench(2)
  const stranger = makeSigned()
  const teller = bench.members[0]!
  const first = bench.send(teller, [bench.claim(stranger, 'alive', 1)])
  const expected = {
    type: 'fetch',
    teller: teller.record.peerId,
    shortId: stranger.shortId,
    hash: stranger.hash,
  }
  assert.deepEqual(
    first.filter(({ type }) => type === 'fetch'),
    [expected],
  )
  const again = bench.send(teller, [bench.claim(stranger, 'alive', 1), bench.claim(makeSigned(), 'dead', 1)])
  assert.equal(again.filter(({ type }) => type === 'fetch').length, 0)
  bench.step({ type: 'record', signed: stranger })
  assert.equal(bench.view(stranger)?.state, 'alive')
})

test('a record that nobody has spoken of is not taken', () => {
  const bench = new Bench(1)
  const stranger = makeSigned()
  bench.step({ type: 'record', signed: stranger })
  assert.equal(bench.view(stranger), undefined)
})

test('a flood of rumours about strangers and members stays bounded', () => {
  const bench = new Bench(20)
  const teller = bench.members[0]!
  for (let round = 0; round < 600; round++) {
    const strangers = Array.from({ length: 8 }, (_, index) => ({
      ...bench.claim(teller, 'alive', 1),
      shortId: (round * 8 + index).toString(16).padStart(16, '0'),
    }))
    const accused = bench.claim(bench.members[1 + (round % 19)]!, 'suspect', 1, {
      accusers: [(round % 7).toString(16).padStart(16, 'a')],
    })
    bench.send(teller, [...strangers, accused])
  }
  const gauges = bench.machine.gauges()
  assert.ok(gauges.wants <= 4096 && gauges.rumours <= 21 && gauges.probes <= 32, JSON.stringify(gauges))
  assert.ok(bench.observed('wants-full') > 0)
})

test('accusers that are no live members confirm nothing', () => {
  const bench = new Bench(10)
  const [teller, accused] = bench.members
  const accuse = (index: number) =>
    bench.send(teller!, [
      bench.claim(accused!, 'suspect', 1, { accusers: [index.toString(16).padStart(16, '0')], refused: 1 }),
    ])
  for (let index = 0; index < 20; index++) accuse(index)
  assert.equal(bench.observed('confirmed'), 0)
})

test('a death that an exchange tells is taken for a suspicion, a goodbye for what it is', () => {
  const bench = new Bench(3)
  const [one, other] = bench.members
  bench.hear(bench.claim(one!, 'dead', 1), bench.claim(other!, 'left', 1))
  assert.equal(bench.view(one!)?.state, 'suspect')
  assert.equal(bench.view(other!)?.state, 'left')
})

test('the dead are spoken to first: a message of theirs is answered with what is held of them', () => {
  const bench = new Bench(3)
  const [member] = bench.members
  bench.send(bench.members[1]!, [bench.claim(member!, 'dead', 1)])
  const [ack] = sent(bench.send(member!, [], { type: messageType.ping, sequence: 1 }), messageType.ack)
  assert.equal(ack?.message.claims[0]?.shortId, member!.shortId)
  const back = bench.send(member!, [], { incarnation: 2 })
  assert.equal(bench.view(member!)?.state, 'alive')
  const [timer] = timers(back, 'meeting')
  const met = bench.step({ type: 'timer', timer: timer! }, timer!.atMs)
  assert.ok(met.some((effect) => effect.type === 'push-pull' && effect.with === member!.record.peerId))
})

test('after a sleep running probes and suspicions begin anew instead of ending', () => {
  const bench = new Bench(5)
  const { effects, nowMs } = firstProbe(bench)
  const [end] = timers(effects, 'probe')
  bench.send(bench.members[0]!, [bench.claim(bench.members[1]!, 'suspect', 1)], { nowMs })
  const suspicion = timers(bench.effects, 'suspicion').at(-1)!
  bench.step({ type: 'timer', timer: end! }, end!.atMs + 60_000)
  bench.step({ type: 'timer', timer: suspicion }, suspicion.atMs + 60_000)
  assert.equal(bench.view(bench.members[1]!)?.state, 'suspect')
  assert.ok(bench.members.every((member) => bench.view(member)?.state !== 'dead'))
  assert.equal(bench.machine.gauges().probes, 0)
})

test('a goodbye goes to others at once and is repeated, and no word brings the leaver back', () => {
  const bench = new Bench(4)
  const effects = bench.step({ type: 'leave' })
  const told = sent(effects, messageType.gossip)
  assert.equal(told.length, 4)
  assert.ok(
    told.every(({ message }) =>
      message.claims.some((claim) => claim.shortId === bench.own.shortId && claim.state === 5),
    ),
  )
  bench.send(bench.members[0]!, [bench.claim(bench.own, 'dead', 1)])
  assert.equal(bench.view(bench.own)?.state, 'left')
  const [timer] = timers(effects, 'leave')
  assert.ok(bench.step({ type: 'timer', timer: timer! }, timer!.atMs).some(({ type }) => type === 'left'))
})

test('a name that two live members bear is reported', () => {
  const bench = new Bench(1)
  const twins = [makeSigned({ name: 'twin' }), makeSigned({ name: 'twin' })]
  for (const twin of twins) bench.admit(twin)
  const conflict = bench.effects.find((effect) => effect.type === 'name-conflict')
  assert.ok(conflict?.type === 'name-conflict')
  assert.deepEqual(new Set(conflict.peerIds), new Set(twins.map(({ record }) => record.peerId)))
})

test('a newer record takes the place of the older one, never the other way round', () => {
  const identity = makeIdentity()
  const [older, newer] = [1, 2].map((sequence) => makeSigned({ sequence, zone: `z${sequence}` }, identity))
  const bench = new Bench(1)
  bench.admit(older!)
  for (const [incarnation, signed] of [
    [2, newer!],
    [3, older!],
  ] as const) {
    bench.hear(bench.claim(signed, 'alive', incarnation))
    bench.step({ type: 'record', signed })
    assert.equal(bench.view(newer!)?.signed.record.zone, 'z2')
    assert.equal(bench.view(newer!)?.incarnation, incarnation)
  }
})

test('forgotten after a day, a dead member leaves nothing behind', () => {
  const bench = new Bench(2)
  bench.send(bench.members[1]!, [bench.claim(bench.members[0]!, 'dead', 1)])
  let [timer] = timers(bench.step({ type: 'start' }, 0), 'round')
  for (let hour = 1; hour <= 25; hour++) {
    const nowMs = hour * 3_600_000
    timer = timers(bench.step({ type: 'timer', timer: { ...timer!, atMs: nowMs } }, nowMs), 'round')[0]
  }
  assert.equal(bench.view(bench.members[0]!), undefined)
  assert.equal(bench.machine.gauges().members, 2)
})

test('random bytes, and valid messages cut or changed anywhere, never throw', () => {
  const bench = new Bench(3)
  const from = bench.members[0]!
  const claims = [bench.claim(from, 'suspect', 1, { accusers: [from.shortId], refused: 1 })]
  const valid = encodeMessage({
    type: 1,
    sequence: 3,
    incarnation: 1,
    hash: from.hash,
    claims,
    target: bench.own.shortId,
  })
  const feed = (body: Uint8Array) =>
    bench.step({ type: 'message', from: from.record.peerId, body, replyTo: undefined })
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1300 }), (body) => void feed(body)),
    { numRuns: 500 },
  )
  fc.assert(
    fc.property(fc.nat(valid.length - 1), fc.nat(255), (at, value) => {
      feed(valid.subarray(0, at))
      const changed = Uint8Array.from(valid)
      changed[at] = value
      feed(changed)
    }),
    { numRuns: 500 },
  )
  assert.ok(bench.observed('malformed') > 100)
})

test('a reserved message type is counted and its rumours still count', () => {
  const bench = new Bench(2)
  bench.send(bench.members[0]!, [bench.claim(bench.members[1]!, 'dead', 1)], { type: 12 })
  assert.equal(bench.observed('unknown-type'), 1)
  assert.equal(bench.view(bench.members[1]!)?.state, 'dead')
})
