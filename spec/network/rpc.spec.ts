import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { rpcProtocols } from '../../lib/core/messaging.ts'
import { encodeFrame } from '../../lib/network/frames.ts'
import { eventually } from '../support/eventually.ts'
import { makeTestAuthority, makeTestCluster } from '../support/test-trust.ts'
import { startRawPeer } from './raw-peer.ts'
import { startHost, type TestHost, type TestHostOptions } from './test-host.ts'

const authority = await makeTestAuthority()
const options = { timeoutMs: 5_000, maxAnswerSizeBytes: 64 * 2 ** 20 }

async function pair(t: TestContext, hostOptions: TestHostOptions = {}): Promise<[TestHost, TestHost]> {
  const set = [...(await makeTestCluster({ nodes: [{ name: 'a' }, { name: 'b' }], authority })).values()]
  const [a, b] = await Promise.all(set.map((one) => startHost(t, one, hostOptions)))
  assert.ok(a && b)
  a.host.setAddressBook((peerId) => (peerId === b.peerId ? [b.endpoint] : []))
  b.host.setAddressBook((peerId) => (peerId === a.peerId ? [a.endpoint] : []))
  return [a, b]
}

function refused(host: TestHost, reason: string): number {
  return host.recorder.counted('starling_rpc_refused_total', { reason })
}

test('a request is answered with the frames of the handler, and its sender is known', async (t) => {
  const [a, b] = await pair(t)
  b.host.handle(rpcProtocols.catalog, (from, frame) => [Buffer.from(from), frame, new Uint8Array()])
  const sent = randomBytes(100_000)
  const answer = await a.host.request(b.peerId, rpcProtocols.catalog, sent, options)
  assert.equal(Buffer.from(answer[0] ?? []).toString(), a.peerId)
  assert.deepEqual(answer[1], Uint8Array.from(sent))
  assert.deepEqual(answer.slice(2), [new Uint8Array()])
})

test('an answer without frames is an empty list', async (t) => {
  const [a, b] = await pair(t)
  b.host.handle(rpcProtocols.probe, () => [])
  assert.deepEqual(await a.host.request(b.peerId, rpcProtocols.probe, new Uint8Array(), options), [])
})

test('both sides of one connection can ask', async (t) => {
  const [a, b] = await pair(t)
  a.host.handle(rpcProtocols.probe, () => [Uint8Array.of(1)])
  b.host.handle(rpcProtocols.probe, () => [Uint8Array.of(2)])
  assert.deepEqual(await a.host.request(b.peerId, rpcProtocols.probe, new Uint8Array(), options), [
    Uint8Array.of(2),
  ])
  assert.deepEqual(await b.host.request(a.peerId, rpcProtocols.probe, new Uint8Array(), options), [
    Uint8Array.of(1),
  ])
  assert.equal(a.host.connections().length, 1)
})

test('two nodes that ask each other at once end with one connection', async (t) => {
  const [a, b] = await pair(t, { duplicateGraceMs: 200 })
  for (const { host } of [a, b]) host.handle(rpcProtocols.probe, () => [])
  await Promise.all([
    a.host.request(b.peerId, rpcProtocols.probe, new Uint8Array(), options),
    b.host.request(a.peerId, rpcProtocols.probe, new Uint8Array(), options),
  ])
  await eventually(() => a.host.connections().length === 1 && b.host.connections().length === 1)
  assert.deepEqual(await a.host.request(b.peerId, rpcProtocols.probe, new Uint8Array(), options), [])
})

test('a large answer arrives whole', async (t) => {
  const [a, b] = await pair(t)
  const part = randomBytes(256 * 1024)
  b.host.handle(rpcProtocols.catalog, function* () {
    for (let index = 0; index < 96; index++) yield part
  })
  const long = { ...options, timeoutMs: 20_000 }
  const answer = await a.host.request(b.peerId, rpcProtocols.catalog, new Uint8Array(), long)
  assert.equal(answer.length, 96)
  assert.ok(answer.every((frame) => part.equals(frame)))
})

test('a slow reader holds the handler back, and gets the whole answer when it reads on', async (t) => {
  const [, b] = await pair(t)
  const raw = await startRawPeer(t, authority)
  let produced = 0
  b.host.handle(rpcProtocols.catalog, function* () {
    for (; produced < 256; produced++) yield new Uint8Array(64 * 1024)
  })
  const stream = await raw.open(b, rpcProtocols.catalog)
  let received = 0
  stream.addEventListener('message', (event) => {
    received += event.data.byteLength
  })
  stream.pause()
  stream.send(encodeFrame(Uint8Array.of(1)))
  await eventually(() => produced > 0)
  await delay(300)
  const ahead = produced
  assert.ok(ahead < 64, `${ahead} of 256 frames were made for a reader that reads nothing`)
  stream.resume()
  const size = 256 * (64 * 1024 + 4) + 4
  await eventually(() => received === size, { what: `${size} bytes` })
})

test('a reader that takes nothing at all is cut off', async (t) => {
  const [, b] = await pair(t, { rpcLimits: { stallTimeoutMs: 200 } })
  const raw = await startRawPeer(t, authority)
  b.host.handle(rpcProtocols.catalog, function* () {
    for (;;) yield new Uint8Array(64 * 1024)
  })
  const stream = await raw.open(b, rpcProtocols.catalog)
  stream.pause()
  stream.send(encodeFrame(Uint8Array.of(1)))
  await eventually(() => refused(b, 'stalled') === 1)
})

test('a peer that opens a stream and says nothing is cut off', async (t) => {
  const [, b] = await pair(t, { rpcLimits: { requestTimeoutMs: 200 } })
  const raw = await startRawPeer(t, authority)
  b.host.handle(rpcProtocols.probe, () => [])
  const stream = await raw.open(b, rpcProtocols.probe)
  stream.send(Uint8Array.of(0, 0))
  await eventually(() => refused(b, 'silent') === 1 && stream.status !== 'open')
})

test('a protocol that is not ours is refused', async (t) => {
  const [, b] = await pair(t)
  const raw = await startRawPeer(t, authority)
  await assert.rejects(raw.open(b, '/echo/1.0.0'), { name: 'UnsupportedProtocolError' })
})

test('a handler is not run ahead of a requester that has gone', async (t) => {
  const [a, b] = await pair(t)
  let produced = 0
  let finished = false
  b.host.handle(rpcProtocols.catalog, async function* () {
    try {
      for (;;) {
        produced++
        yield new Uint8Array(64 * 1024)
        await delay(1)
      }
    } finally {
      finished = true
    }
  })
  await assert.rejects(
    a.host.request(b.peerId, rpcProtocols.catalog, new Uint8Array(), {
      ...options,
      maxAnswerSizeBytes: 300_000,
    }),
    { code: 'FRAME_TOO_LARGE' },
  )
  await eventually(() => finished)
  assert.ok(produced < 200, `${produced} frames were made for nobody`)
})

test('a request that is too large is refused before it is sent', async (t) => {
  const [a, b] = await pair(t, { rpcLimits: { maxRequestSizeBytes: 1000 } })
  await assert.rejects(a.host.request(b.peerId, rpcProtocols.probe, new Uint8Array(1001), options), {
    code: 'FRAME_TOO_LARGE',
  })
})

test('a request that is larger than the other side takes is refused there by its length', async (t) => {
  const set = [...(await makeTestCluster({ nodes: [{ name: 'a' }, { name: 'b' }] })).values()]
  assert.ok(set[0] && set[1])
  const a = await startHost(t, set[0])
  const b = await startHost(t, set[1], { rpcLimits: { maxRequestSizeBytes: 1000 } })
  b.host.handle(rpcProtocols.probe, () => [])
  await a.host.connectPeer(b.peerId, [b.endpoint], 5_000)
  await assert.rejects(a.host.request(b.peerId, rpcProtocols.probe, new Uint8Array(100_000), options), {
    code: 'PEER_UNREACHABLE',
  })
  await eventually(() => refused(b, 'too-large') === 1)
})

test('an answer frame over its bound breaks the answer off', async (t) => {
  const [a, b] = await pair(t, { rpcLimits: { maxAnswerFrameSizeBytes: 1000 } })
  b.host.handle(rpcProtocols.probe, () => [new Uint8Array(1001)])
  await assert.rejects(a.host.request(b.peerId, rpcProtocols.probe, new Uint8Array(), options), {
    code: 'PEER_UNREACHABLE',
  })
  await eventually(() => refused(b, 'too-large') === 1)
})

test('a handler that throws resets the stream after the frames it gave, and the requester sees no short answer', async (t) => {
  const [a, b] = await pair(t)
  b.host.handle(rpcProtocols.catalog, function* () {
    yield Uint8Array.of(1)
    throw new Error('the handler is broken')
  })
  await assert.rejects(a.host.request(b.peerId, rpcProtocols.catalog, new Uint8Array(), options), {
    code: 'PEER_UNREACHABLE',
  })
  await eventually(() => refused(b, 'failed') === 1)
  assert.ok(b.recorder.warned(/the handler is broken/))
})

test('a silent handler runs into the timeout of the requester', async (t) => {
  const [a, b] = await pair(t)
  b.host.handle(rpcProtocols.probe, async function* () {
    await delay(60_000, undefined, { ref: false })
    yield Uint8Array.of(1)
  })
  await assert.rejects(
    a.host.request(b.peerId, rpcProtocols.probe, new Uint8Array(), { ...options, timeoutMs: 200 }),
    { code: 'PEER_UNREACHABLE', message: /no answer within 200 ms/ },
  )
})

test('a protocol that nobody handles is refused', async (t) => {
  const [a, b] = await pair(t)
  await assert.rejects(a.host.request(b.peerId, rpcProtocols.membership, new Uint8Array(), options), {
    code: 'PEER_UNREACHABLE',
    message: /does not speak/,
  })
})

test('a peer without a known address is unreachable', async (t) => {
  const [a, b] = await pair(t)
  a.host.setAddressBook(() => [])
  await assert.rejects(a.host.request(b.peerId, rpcProtocols.probe, new Uint8Array(), options), {
    code: 'PEER_UNREACHABLE',
    message: /no address is known/,
  })
})

test('more requests of one peer than are allowed at once are turned away, the others are answered', async (t) => {
  const [a, b] = await pair(t, { rpcLimits: { maxInboundPerPeer: 4 } })
  let release = () => {}
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  b.host.handle(rpcProtocols.probe, async function* () {
    await gate
    yield Uint8Array.of(1)
  })
  const all = Array.from({ length: 10 }, () =>
    a.host.request(b.peerId, rpcProtocols.probe, new Uint8Array(), options),
  )
  const settled = Promise.allSettled(all)
  await eventually(() => refused(b, 'busy') === 6)
  release()
  const results = await settled
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 4)
  assert.deepEqual(await a.host.request(b.peerId, rpcProtocols.probe, new Uint8Array(), options), [
    Uint8Array.of(1),
  ])
})

test('the own requests to one peer are bounded too', async (t) => {
  const [a, b] = await pair(t, { rpcLimits: { maxOutboundPerPeer: 2 } })
  b.host.handle(rpcProtocols.probe, async function* () {
    await delay(300)
    yield Uint8Array.of(1)
  })
  const results = await Promise.allSettled(
    Array.from({ length: 5 }, () => a.host.request(b.peerId, rpcProtocols.probe, new Uint8Array(), options)),
  )
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 2)
})

test('after a peer has restarted at another port the next request finds it', async (t) => {
  const [a, b] = await pair(t)
  b.host.handle(rpcProtocols.probe, () => [Uint8Array.of(1)])
  await a.host.request(b.peerId, rpcProtocols.probe, new Uint8Array(), options)
  const states: string[] = []
  a.host.onConnection((peerId, state) => states.push(`${state} ${peerId === b.peerId}`))
  await b.host.stop()
  await eventually(() => a.host.connections().length === 0)
  const again = await startHost(t, b.credentials)
  again.host.handle(rpcProtocols.probe, () => [Uint8Array.of(2)])
  a.host.setAddressBook(() => [again.endpoint])
  assert.deepEqual(await a.host.request(b.peerId, rpcProtocols.probe, new Uint8Array(), options), [
    Uint8Array.of(2),
  ])
  assert.deepEqual(states, ['closed true', 'open true'])
})

test('disconnect closes what is open', async (t) => {
  const [a, b] = await pair(t)
  await a.host.connect(b.endpoint, 5_000)
  await a.host.disconnect(b.peerId)
  await eventually(() => a.host.connections().length === 0 && b.host.connections().length === 0)
})

test('a connection that is younger than the age named is not closed', async (t) => {
  const [a, b] = await pair(t)
  await a.host.connect(b.endpoint, 5_000)
  await a.host.disconnect(b.peerId, 3_600_000)
  assert.equal(a.host.connections().length, 1)
  await eventually(async () => {
    await a.host.disconnect(b.peerId, 5)
    return a.host.connections().length === 0
  })
})
