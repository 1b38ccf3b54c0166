import assert from 'node:assert/strict'
import { test } from 'node:test'
import { maxDatagramBodySizeBytes } from '../../lib/core/messaging.ts'
import { type Claim, encodeMessage, messageType } from '../../lib/membership/messages.ts'
import { stateCode } from '../../lib/membership/states.ts'
import { Bench, makeSigned, sent, timers } from './fixtures.ts'

const hinted = (bench: Bench, member = bench.members[0]!) =>
  bench.step({ type: 'hint', peerId: member.record.peerId, hint: 'closed' })

test('a node whose event loop was held up lets its verdicts wait as long, and accuses nobody of its own slowness', () => {
  const bench = new Bench(6)
  const effects = hinted(bench)
  const [ping] = sent(effects, messageType.ping)
  const [end] = timers(effects, 'probe')
  const lateMs = 400
  // All that was due in the meantime fires at once, before the socket is read.
  const after = bench.step({ type: 'timer', timer: end! }, end!.atMs + lateMs)
  assert.equal(bench.observed('starved'), 1)
  assert.equal(bench.machine.gauges().probes, 1, 'the probe still runs')
  assert.equal(bench.machine.gauges().health, 1)
  const [later] = timers(after, 'probe')
  assert.equal(later!.atMs - (end!.atMs + lateMs), lateMs)
  bench.send(bench.members[0]!, [], {
    type: messageType.ack,
    sequence: ping!.message.sequence,
    nowMs: end!.atMs + lateMs + 1,
  })
  bench.step({ type: 'timer', timer: later! }, later!.atMs)
  assert.equal(bench.view(bench.members[0]!)?.state, 'alive')
})

test('timers that are late for one reason count once', () => {
  const bench = new Bench(6)
  const one = timers(hinted(bench, bench.members[0]), 'probe')[0]!
  const other = timers(hinted(bench, bench.members[1]), 'probe')[0]!
  for (const timer of [one, other]) bench.step({ type: 'timer', timer }, timer.atMs + 300)
  assert.equal(bench.observed('starved'), 1)
})

test('a suspicion that ends while the node was held up waits for a refutation that may lie in the socket', () => {
  const bench = new Bench(6)
  const [suspect, teller] = bench.members
  const effects = bench.send(teller!, [bench.claim(suspect!, 'suspect', 1)])
  const [end] = timers(effects, 'suspicion')
  bench.step({ type: 'timer', timer: end! }, end!.atMs + 500)
  assert.equal(bench.view(suspect!)?.state, 'suspect')
  bench.send(suspect!, [], { incarnation: 2, nowMs: end!.atMs + 501 })
  assert.equal(bench.view(suspect!)?.state, 'alive')
})

test('an unhealthy node waits longer for answers, and helpers that stay silent make it unhealthy', () => {
  const bench = new Bench(6)
  const effects = hinted(bench)
  const [ping] = timers(effects, 'ping')
  const [end] = timers(effects, 'probe')
  bench.step({ type: 'timer', timer: ping! }, ping!.atMs)
  bench.step({ type: 'timer', timer: end! }, end!.atMs)
  assert.equal(bench.machine.gauges().health, 3, 'three helpers, no nack')
  const [next] = timers(
    bench.step({ type: 'hint', peerId: bench.members[1]!.record.peerId, hint: 'closed' }, end!.atMs),
    'ping',
  )
  assert.equal(next!.atMs - end!.atMs, 4 * 500)
})

test('helpers that answer with a nack show that this node is well', () => {
  const bench = new Bench(6)
  const effects = hinted(bench)
  const [ping] = timers(effects, 'ping')
  const [end] = timers(effects, 'probe')
  const asked = sent(bench.step({ type: 'timer', timer: ping! }, ping!.atMs), messageType.pingReq)
  for (const { to, message } of asked) {
    const helper = bench.members.find(({ record }) => record.peerId === to)!
    bench.send(helper, [], { type: messageType.nack, sequence: message.sequence, nowMs: ping!.atMs + 400 })
  }
  bench.step({ type: 'timer', timer: end! }, end!.atMs)
  assert.equal(bench.machine.gauges().health, 0)
})

test('a suspect is told first, in whatever is sent to it', () => {
  const bench = new Bench(40)
  const [suspect, teller] = bench.members
  bench.send(
    teller!,
    bench.members.slice(2, 12).map((member) => bench.claim(member, 'suspect', 1)),
  )
  bench.send(teller!, [bench.claim(suspect!, 'suspect', 1)])
  const [ack] = sent(bench.send(suspect!, [], { type: messageType.ping, sequence: 4 }), messageType.ack)
  assert.equal(ack!.message.claims[0]?.shortId, suspect!.shortId)
})

test('one refusal shortens nothing; two that were refused themselves shorten the suspicion to a round trip', () => {
  const bench = new Bench(10)
  const [suspect, first, second, third] = bench.members
  const accuse = (by: typeof first, refused: boolean) =>
    timers(
      bench.send(by!, [
        bench.claim(suspect!, 'suspect', 1, { accusers: [by!.shortId], refused: refused ? 1 : 0 }),
      ]),
      'suspicion',
    ).at(-1)?.atMs
  assert.ok(accuse(first, true)! > 2000)
  assert.ok(accuse(second, false)! > 2000)
  assert.ok(accuse(third, true)! <= 300)
})

test('one rumour tells of all who suspect a member, those who were refused first, and all of them count at once', () => {
  const bench = new Bench(12)
  const [suspect, ...others] = bench.members
  const names = others.map(({ shortId }) => shortId)
  const accuse = (...more: Partial<Claim>[]) =>
    bench.send(
      others.at(-1)!,
      more.map((said) => bench.claim(suspect!, 'suspect', 1, said)),
    )
  const told = () => {
    const [ack] = sent(bench.send(others[0]!, [], { type: messageType.ping, sequence: 1 }), messageType.ack)
    return ack!.message.claims.find(({ shortId }) => shortId === suspect!.shortId)
  }
  const [one, two, three, four, five] = names as [string, string, string, string, string]
  const [first] = timers(accuse({ accusers: [one] }), 'suspicion')
  const [sooner] = timers(accuse({ accusers: [one, two, three, four] }), 'suspicion').slice(-1)
  assert.ok(sooner!.atMs < first!.atMs / 2)
  assert.deepEqual(told()?.accusers, [one, two, three, four])
  accuse({ accusers: [five] })
  assert.deepEqual(told()?.accusers, [one, two, three, four])
  accuse({ accusers: [five], refused: 1 }, { accusers: [three], refused: 1 })
  assert.deepEqual([told()?.accusers, told()?.refused], [[three, five, one, two], 2])
})

test('suspicions that end together share a timer, and one that is shortened no longer ends with it', () => {
  const bench = new Bench(12)
  const [first, second, third, teller, ...others] = bench.members
  const accuse = (by: typeof first, ...suspects: (typeof first)[]) =>
    timers(
      bench.send(
        by!,
        suspects.map((suspect) => bench.claim(suspect!, 'suspect', 1, { accusers: [by!.shortId] })),
      ),
      'suspicion',
    )
  const [shared, ...more] = accuse(teller, first, second, third)
  assert.equal(more.length, 0)
  const sooner = others.slice(0, 3).flatMap((other) => accuse(other, first))
  assert.ok(sooner.at(-1)!.atMs < shared!.atMs)
  const stateOf = (member: typeof first) => bench.view(member!)?.state
  bench.step({ type: 'timer', timer: sooner.at(-1)! }, sooner.at(-1)!.atMs)
  assert.deepEqual([first, second, third].map(stateOf), ['dead', 'suspect', 'suspect'])
  bench.send(second!, [bench.claim(second!, 'alive', 2)])
  bench.step({ type: 'timer', timer: shared! }, shared!.atMs)
  assert.deepEqual([first, second, third].map(stateOf), ['dead', 'alive', 'dead'])
})

test('what one step finds out is told at once, and in one round of messages', () => {
  const bench = new Bench(40)
  const dying = bench.members.slice(0, 12)
  const teller = bench.members.at(-1)!
  const [end] = timers(
    bench.send(
      teller,
      dying.map((member) => bench.claim(member, 'suspect', 1, { accusers: [teller.shortId] })),
    ),
    'suspicion',
  )
  const told = sent(bench.step({ type: 'timer', timer: end! }, end!.atMs), messageType.gossip)
  assert.equal(told.length, 3)
  const isDead = (claim: { state: number }) => claim.state === stateCode.dead
  const deaths = told[0]!.message.claims.filter(isDead).map(({ shortId }) => shortId)
  assert.deepEqual(deaths.sort(), dying.map(({ shortId }) => shortId).sort())
})

test('a hint alone is no verdict: an answer ends what it began', () => {
  const bench = new Bench(4)
  const [ping] = sent(hinted(bench), messageType.ping)
  assert.equal(bench.view(bench.members[0]!)?.state, 'alive')
  bench.send(bench.members[0]!, [], { type: messageType.ack, sequence: ping!.message.sequence, nowMs: 2 })
  assert.equal(bench.machine.gauges().probes, 0)
  assert.equal(bench.observed('suspected'), 0)
})

test('gossip and helpers are mostly of the own zone, but a share is of any', () => {
  const bench = new Bench(0)
  const near = Array.from({ length: 20 }, () => makeSigned({ zone: 'z1' }))
  const far = Array.from({ length: 40 }, () => makeSigned({ zone: 'z2' }))
  for (const member of [...near, ...far]) bench.admit(member)
  const isNear = new Set(near.map(({ record }) => record.peerId))
  let [inZone, all] = [0, 0]
  for (const member of far.slice(0, 30)) {
    const effects = hinted(bench, member)
    const [ping] = timers(effects, 'ping')
    const asked = sent(bench.step({ type: 'timer', timer: ping! }, ping!.atMs), messageType.pingReq)
    assert.equal(new Set(asked.map(({ to }) => to)).size, 3)
    inZone += asked.filter(({ to }) => isNear.has(to)).length
    all += asked.length
  }
  assert.ok(inZone / all > 0.6, `${inZone} of ${all}`)
  assert.ok(inZone / all < 0.95, `${inZone} of ${all}: some must cross`)
})

test('probes are uniform over zones: each member is probed as often', () => {
  const bench = new Bench(0)
  const members = ['z1', 'z1', 'z2', 'z2', 'z2', 'z3'].map((zone) => makeSigned({ zone }))
  for (const member of members) bench.admit(member)
  const probed = new Map<string, number>()
  let [round] = timers(bench.step({ type: 'start' }), 'round')
  for (let turn = 0; turn < 1206; turn++) {
    const effects = bench.step({ type: 'timer', timer: round! }, round!.atMs)
    for (const { to, message } of sent(effects, messageType.ping)) {
      if (message.sequence === 0) continue
      probed.set(to, (probed.get(to) ?? 0) + 1)
      const member = members.find(({ record }) => record.peerId === to)!
      bench.send(member, [], { type: messageType.ack, sequence: message.sequence, nowMs: round!.atMs })
    }
    round = timers(effects, 'round')[0]
  }
  const counts = members.map(({ record }) => probed.get(record.peerId) ?? 0)
  assert.ok(Math.max(...counts) - Math.min(...counts) <= 12, counts.join(' '))
})

test('a member of both families is probed at an address of a family that this node has, then at the others', () => {
  const bench = new Bench(3)
  const dual = makeSigned({
    p2p: [
      { host: 'fd00::7', port: 5001 },
      { host: '10.0.0.7', port: 5001 },
    ],
  })
  bench.admit(dual)
  const effects = hinted(bench, dual)
  assert.equal(sent(effects, messageType.ping)[0]?.endpoint?.host, '10.0.0.7')
  const [ping] = timers(effects, 'ping')
  const second = sent(bench.step({ type: 'timer', timer: ping! }, ping!.atMs), messageType.ping)
  assert.deepEqual(
    second.map(({ endpoint }) => endpoint?.host),
    ['fd00::7'],
  )
})

test('the fullest message, sealed, passes a path with an MTU of 1280, also over IPv6', () => {
  for (const [accusers, rumours] of [
    [1, 16],
    [4, 13],
  ] as const) {
    const bench = new Bench(40)
    const [teller] = bench.members
    const voices = bench.members.slice(0, accusers).map(({ shortId }) => shortId)
    for (let start = 0; start < 40; start += 8)
      bench.send(
        teller!,
        bench.members
          .slice(start, start + 8)
          .map((member) => bench.claim(member, 'suspect', 2 ** 20, { accusers: voices, refused: 1 })),
      )
    const ping = bench.send(teller!, [], { type: messageType.ping, sequence: 2 ** 31 })
    const [ack] = sent(ping, messageType.ack)
    assert.equal(ack!.message.claims.length, rumours)
    const [ipv6HeaderBytes, udpHeaderBytes, datagramBytes] = [40, 8, 1200]
    assert.ok(ack!.body.length <= maxDatagramBodySizeBytes && maxDatagramBodySizeBytes < datagramBytes)
    assert.ok(datagramBytes + udpHeaderBytes + ipv6HeaderBytes <= 1280)
  }
})

test('the clock of the cluster is the furthest that anybody tells, and absurd readings are none', () => {
  const bench = new Bench(2)
  const [member] = bench.members
  const tell = (clockMs: number, nowMs: number) => {
    const body = encodeMessage({
      type: messageType.ping,
      sequence: 1,
      incarnation: 1,
      hash: member!.hash,
      claims: [],
      clockMs,
    })
    const effects = bench.step(
      { type: 'message', from: member!.record.peerId, body, replyTo: undefined },
      nowMs,
    )
    return sent(effects, messageType.ack)[0]?.message.clockMs
  }
  assert.equal(tell(5_000_000, 10), 5_000_000)
  assert.equal(tell(1, 1010), 5_001_000)
  assert.equal(tell(2 ** 50, 2010), 5_002_000)
})

test('without datagrams rumours go to connected members only, so that none of their budget is lost', () => {
  const bench = new Bench(30)
  const connected = bench.members.slice(0, 6).map(({ record }) => record.peerId)
  bench.step({ type: 'transport', datagrams: false })
  bench.step({ type: 'neighbours', peers: [...connected, makeSigned().record.peerId] })
  const told = sent(bench.step({ type: 'leave' }), messageType.gossip).map(({ to }) => to)
  assert.deepEqual(new Set(told), new Set(connected))
})

test('a node that is alone keeps its news without a timer, and tells them to the first who comes', () => {
  const bench = new Bench(0)
  assert.equal(timers(bench.step({ type: 'own-record', signed: bench.own }), 'gossip').length, 0)
  bench.admit(makeSigned())
  assert.equal(timers(bench.effects, 'gossip').length, 1)
})
