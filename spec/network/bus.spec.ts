import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { BroadcastVerdict } from '../../lib/core/messaging.ts'
import { maxBroadcastSizeBytes, topicOf } from '../../lib/network/bus.ts'
import { eventually } from '../support/eventually.ts'
import { makeTestAuthority, makeTestCredentials } from '../support/test-trust.ts'
import { startRawPeer } from './raw-peer.ts'
import { startHost, type TestHost, type TestHostOptions } from './test-host.ts'

const authority = await makeTestAuthority()
const registry = 'registry.example.com:5000'

interface Listener extends TestHost {
  readonly heard: { registry: string; from: string; text: string }[]
  verdict: BroadcastVerdict
}

async function startListener(
  t: TestContext,
  name: string,
  options: TestHostOptions = { maintenanceIntervalMs: 500 },
): Promise<Listener> {
  const credentials = await makeTestCredentials(name, { authority })
  const started = await startHost(t, credentials, options)
  const listener: Listener = { ...started, heard: [], verdict: 'accept' }
  listener.host.onMessage((of, from, message) => {
    listener.heard.push({ registry: of, from, text: Buffer.from(message).toString() })
    return listener.verdict
  })
  return listener
}

/** Hosts in a chain: each is connected to the next only. */
async function chain(t: TestContext, count: number): Promise<Listener[]> {
  const hosts: Listener[] = []
  for (let index = 0; index < count; index++) {
    const host = await startListener(t, `node-${index}`)
    host.host.join(registry)
    const previous = hosts.at(-1)
    if (previous !== undefined) await host.host.connect(previous.endpoint, 5_000)
    hosts.push(host)
  }
  return hosts
}

function hears(host: Listener, text: string): boolean {
  return host.heard.some((message) => message.text === text)
}

let serial = 0
/** Publishes until all have heard one: the mesh forms in its own time. */
async function whole(from: Listener, to: readonly Listener[]): Promise<void> {
  await eventually(async () => {
    const text = `hello ${serial++}`
    await from.host.publish(registry, Buffer.from(text))
    await delay(50)
    return to.every((host) => hears(host, text))
  })
}

test('a message reaches all five nodes of a chain, once each', async (t) => {
  const hosts = await chain(t, 5)
  const [first, ...others] = hosts
  assert.ok(first)
  await whole(first, others)
  await first.host.publish(registry, Buffer.from('one'))
  await eventually(() => others.every((host) => hears(host, 'one')))
  for (const host of others) {
    assert.equal(host.heard.filter(({ text }) => text === 'one').length, 1)
    assert.ok(host.heard.every((message) => message.registry === registry))
  }
  assert.ok(!hears(first, 'one'), 'the publisher does not hear itself')
  assert.equal(others[0]?.heard[0]?.from, first.peerId)
})

test('a node that joins late hears what is said from then on', async (t) => {
  const [a, b] = await chain(t, 2)
  assert.ok(a && b)
  const late = await startListener(t, 'late')
  await late.host.connect(b.endpoint, 5_000)
  await whole(a, [b])
  assert.equal(late.heard.length, 0)
  late.host.join(registry)
  await whole(a, [b, late])
})

test('a node that has left a registry hears nothing of it, and everything again when it comes back', async (t) => {
  const [a, b] = await chain(t, 2)
  assert.ok(a && b)
  await whole(a, [b])
  b.host.leave(registry)
  await eventually(async () => {
    const before = b.heard.length
    await a.host.publish(registry, randomBytes(16))
    await delay(100)
    return b.heard.length === before
  })
  b.host.join(registry)
  await whole(a, [b])
})

test('a message that is ignored or rejected is not relayed; one that is accepted is', async (t) => {
  const [a, b, c] = await chain(t, 3)
  assert.ok(a && b && c)
  await whole(a, [b, c])
  for (const verdict of ['ignore', 'reject'] as const) {
    b.verdict = verdict
    await a.host.publish(registry, Buffer.from(verdict))
    await eventually(() => hears(b, verdict))
    await delay(100)
    assert.ok(!hears(c, verdict), `${verdict} was relayed`)
    assert.equal(b.recorder.counted('starling_broadcast_received_total', { verdict }), 1)
  }
  assert.ok(b.recorder.warned(/no honest node sends/))
})

test('a listener that throws costs the message, not the node', async (t) => {
  const [a, b] = await chain(t, 2)
  assert.ok(a && b)
  b.host.onMessage(() => {
    throw new Error('broken listener')
  })
  await eventually(async () => {
    await a.host.publish(registry, randomBytes(8))
    return b.recorder.warned(/broken listener/)
  })
})

test('publishing where nobody listens, or before joining, is no error', async (t) => {
  const alone = await startListener(t, 'alone')
  await alone.host.publish(registry, Buffer.from('not joined'))
  alone.host.join(registry)
  await alone.host.publish(registry, Buffer.from('nobody'))
  await alone.host.publish(registry, Buffer.from('nobody'))
})

test('a message of the greatest size passes, a greater one is refused at once', async (t) => {
  const [a, b] = await chain(t, 2)
  assert.ok(a && b)
  await whole(a, [b])
  const largest = randomBytes(maxBroadcastSizeBytes / 2).toString('hex')
  await a.host.publish(registry, Buffer.from(largest))
  await eventually(() => hears(b, largest))
  await assert.rejects(a.host.publish(registry, new Uint8Array(maxBroadcastSizeBytes + 1)), {
    code: 'FRAME_TOO_LARGE',
  })
})

test('a message that is too large, or of a registry that is not joined, is dropped unseen', async (t) => {
  const [a] = await chain(t, 1)
  assert.ok(a)
  const raw = await startRawPeer(t, authority)
  await raw.connect(a)
  const { pubsub } = raw.node
  pubsub.subscribe(topicOf(registry))
  const dropped = (reason: string) => a.recorder.counted('starling_broadcast_dropped_total', { reason })
  await eventually(async () => {
    await pubsub.publish(topicOf(registry), randomBytes(maxBroadcastSizeBytes + 1))
    return dropped('too-large') > 0
  })
  assert.equal(a.heard.length, 0)
  await eventually(async () => {
    await pubsub.publish(topicOf(registry), Buffer.from(`fits ${serial++}`))
    return a.heard.length > 0
  })
})

test('when the stream that gossip runs on breaks, it is opened again', async (t) => {
  const [a, b] = await chain(t, 2)
  assert.ok(a && b)
  await whole(a, [b])
  const raw = await startRawPeer(t, authority)
  await raw.connect(a)
  const { pubsub, libp2p } = raw.node
  pubsub.subscribe(topicOf(registry))
  const gossipStreams = () =>
    libp2p
      .getConnections()
      .flatMap(({ streams }) => streams)
      .filter(({ protocol, direction }) => protocol.startsWith('/meshsub/') && direction === 'inbound')
  await eventually(() => gossipStreams().length === 1)
  for (const stream of gossipStreams()) stream.abort(new Error('broken by the test'))
  await eventually(() => gossipStreams().length === 0)
  await eventually(() => gossipStreams().length === 1)
})

test('when one of two connections ends, gossip goes on over the other at once', async (t) => {
  const options = { maintenanceIntervalMs: 60_000, duplicateGraceMs: 1_000 }
  const [a, b] = [await startListener(t, 'a', options), await startListener(t, 'b', options)]
  for (const { host } of [a, b]) host.join(registry)
  await Promise.all([a.host.connect(b.endpoint, 5_000), b.host.connect(a.endpoint, 5_000)])
  await eventually(() => a.host.connections().length === 2, { intervalMs: 5 })
  await eventually(() => [a, b].every(({ host }) => host.connections().length === 1))
  await whole(a, [b])
  await whole(b, [a])
})
