import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MultiaddrConnection } from '@libp2p/interface'
import { plainHost } from '../../lib/core/host-rates.ts'
import { BusScoring } from '../../lib/network/bus-scoring.ts'
import { InboundLimiter, type InboundLimits } from '../../lib/network/inbound-limiter.ts'
import { describeAddress, toEndpoint, toMultiaddr } from '../../lib/network/multiaddrs.ts'
import { ReceiveGate } from '../../lib/network/receive-gate.ts'
import { Refusals } from '../../lib/network/refusals.ts'
import { InFlight } from '../../lib/network/rpc-limits.ts'
import { ThrottledLog } from '../../lib/network/throttled-log.ts'
import { Recorder } from './test-host.ts'

class ManualClock {
  nowMs = 0
  monotonicMs(): number {
    return this.nowMs
  }
  wallMs(): number {
    return this.nowMs
  }
}

let nextPort = 30_000

/** The parts of a connection that the limiter looks at. */
function arriving(host: string): { connection: MultiaddrConnection; close(): void; remote: string } {
  const remoteAddr = toMultiaddr({ host, port: nextPort++ })
  const events = new EventTarget()
  return {
    connection: Object.assign(events, { remoteAddr }) as unknown as MultiaddrConnection,
    close: () => events.dispatchEvent(new Event('close')),
    remote: describeAddress(remoteAddr),
  }
}

function makeLimiter(limits: Partial<InboundLimits>, open = 0) {
  const clock = new ManualClock()
  const recorder = new Recorder()
  const limiter = new InboundLimiter({
    limits: {
      maxConnections: 10,
      maxPending: 10,
      maxPerHostPerSecond: 10,
      maxStrangersPerSecond: 100,
      ...limits,
    },
    clock,
    refusals: new Refusals({ logger: recorder, metrics: recorder, clock }),
    open: () => open,
  })
  const refused = (reason: string) =>
    recorder.counted('starling_p2p_refused_total', { gate: 'limit', reason })
  return { limiter, clock, refused }
}

test('one host may open so many connections a second, another host is not affected, and the next second is new', () => {
  const { limiter, clock, refused } = makeLimiter({ maxPerHostPerSecond: 3 })
  const tooFast = Array.from({ length: 5 }, () => limiter.isTooFast('10.0.0.1'))
  assert.deepEqual(tooFast, [false, false, false, true, true])
  assert.equal(refused('rate'), 2)
  assert.equal(limiter.isTooFast('10.0.0.2'), false)
  clock.nowMs += 1_000
  assert.equal(limiter.isTooFast('10.0.0.1'), false)
})

test('strangers share one budget of connections a second, and hosts where members were met do not need it', () => {
  const { limiter, clock, refused } = makeLimiter({ maxStrangersPerSecond: 3 })
  limiter.met('10.0.0.99')
  const tooFast = Array.from({ length: 5 }, (_, index) => limiter.isTooFast(`10.0.0.${index}`))
  assert.deepEqual(tooFast, [false, false, false, true, true])
  assert.equal(refused('strangers'), 2)
  assert.equal(limiter.isTooFast('10.0.0.99'), false)
  clock.nowMs += 1_000
  assert.equal(limiter.isTooFast('10.0.0.4'), false)
  clock.nowMs += 86_400_000
  for (let count = 0; count < 3; count++) limiter.isTooFast('10.0.0.1')
  assert.equal(limiter.isTooFast('10.0.0.99'), true, 'it was met too long ago')
})

test('connections that have not passed the gates are bounded; closing or admitting one makes room', () => {
  const { limiter, refused } = makeLimiter({ maxPending: 2 })
  const [first, second] = [arriving('10.0.0.1'), arriving('10.0.0.2')]
  assert.equal(limiter.denies(first.connection), false)
  assert.equal(limiter.denies(second.connection), false)
  assert.equal(limiter.denies(arriving('10.0.0.3').connection), true)
  assert.equal(refused('pending'), 1)
  first.close()
  assert.equal(limiter.denies(arriving('10.0.0.4').connection), false)
  limiter.admitted(second.remote)
  assert.equal(limiter.pending, 1)
})

test('no connection is let in beyond the total', () => {
  const { limiter, refused } = makeLimiter({ maxConnections: 5 }, 5)
  assert.equal(limiter.denies(arriving('10.0.0.1').connection), true)
  assert.equal(refused('connections'), 1)
})

test('the first warning of a minute passes, and the next one says how many were held back', () => {
  const clock = new ManualClock()
  const recorder = new Recorder()
  const log = new ThrottledLog(recorder, clock)
  for (let count = 0; count < 5; count++) log.warn('psk', 'refused', () => ({ count }))
  log.warn('tls', 'refused', () => ({ count: 9 }))
  assert.deepEqual(
    recorder.lines.map(({ fields }) => fields),
    [{ count: 0 }, { count: 9 }],
  )
  clock.nowMs += 60_000
  log.warn('psk', 'refused', () => ({ count: 5 }))
  assert.deepEqual(recorder.lines.at(-1)?.fields, { count: 5, suppressed: 4 })
})

test('strangers are looked at while tokens last, and again when they have grown back', () => {
  const gate = new ReceiveGate({ refusalsPerSecond: 10, maxSources: 4, knownForMs: 1_000 })
  gate.good('friend', 0)
  for (let count = 0; count < 10; count++) {
    assert.ok(gate.admits('stranger', 0))
    gate.bad()
  }
  assert.equal(gate.admits('stranger', 0), false)
  assert.equal(gate.admits('friend', 0), true)
  assert.equal(gate.admits('stranger', 100), true)
  for (let count = 0; count < 50; count++) gate.bad()
  assert.equal(gate.admits('friend', 1_050), true, 'tokens grow back with time')
})

test('a source whose last good datagram is long ago is a stranger again', () => {
  const gate = new ReceiveGate({ refusalsPerSecond: 1, maxSources: 4, knownForMs: 100 })
  gate.good('friend', 0)
  gate.bad()
  assert.equal(gate.admits('friend', 99), true)
  assert.equal(gate.admits('friend', 101), false)
})

test('places in flight are bounded in all and for each key, and are given back once', () => {
  const flight = new InFlight<string>(3, 2)
  const first = flight.enter('a')
  assert.ok(first)
  assert.ok(flight.enter('a'))
  assert.equal(flight.enter('a'), undefined)
  assert.ok(flight.enter('b'))
  assert.equal(flight.enter('c'), undefined)
  first()
  first()
  assert.equal(flight.total, 2)
  assert.ok(flight.enter('c'))
})

test('a peer whose messages were rejected recovers with time', () => {
  const clock = new ManualClock()
  const scoring = new BusScoring(clock)
  assert.equal(scoring.score('peer'), 0)
  for (let count = 0; count < 8; count++) scoring.strike('peer')
  assert.equal(scoring.score('peer'), -8)
  clock.nowMs += 30_000
  assert.equal(scoring.score('peer'), -4)
  clock.nowMs += 300_000
  assert.equal(scoring.score('peer'), 0)
})

test('endpoints become multiaddrs and come back', () => {
  for (const endpoint of [
    { host: '10.0.0.1', port: 5001 },
    { host: 'fd00::1', port: 1 },
    { host: 'fe80::1%eth0', port: 65_535 },
  ]) {
    assert.deepEqual(toEndpoint(toMultiaddr(endpoint)), endpoint)
  }
  assert.throws(() => toMultiaddr({ host: 'example.com', port: 1 }), { code: 'INTERNAL' })
  assert.equal(plainHost('::ffff:10.0.0.1'), '10.0.0.1')
})
