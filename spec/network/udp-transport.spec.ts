import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { type TestContext, test } from 'node:test'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import { maxDatagramBodySizeBytes } from '../../lib/core/messaging.ts'
import type { Endpoint } from '../../lib/core/peer.ts'
import type { PeerId } from '../../lib/core/peer-id.ts'
import {
  createUdpTransport,
  type UdpTransport,
  type UdpTransportOptions,
} from '../../lib/network/udp-transport.ts'
import { headerSizeBytes } from '../../lib/trust/datagram-format.ts'
import { DatagramSealer } from '../../lib/trust/datagram-seal.ts'
import { eventually } from '../support/eventually.ts'
import {
  makeTestAuthority,
  makeTestCluster,
  makeTestCredentials,
  makeTestKeyring,
} from '../support/test-trust.ts'
import { constantCredentials, MemoryAttestations, Recorder, systemClock } from './test-host.ts'

interface TestTransport {
  readonly transport: UdpTransport
  readonly recorder: Recorder
  readonly attestations: MemoryAttestations
  readonly credentials: CredentialSet
  readonly endpoint: Endpoint
  readonly heard: { from: PeerId; text: string; replyTo: Endpoint }[]
}

const authority = await makeTestAuthority()

async function startTransport(
  t: TestContext,
  credentials: CredentialSet,
  options: Partial<Pick<UdpTransportOptions, 'listen' | 'enabled' | 'receiveGate'>> = {},
): Promise<TestTransport> {
  const recorder = new Recorder()
  const attestations = new MemoryAttestations(credentials)
  const transport = createUdpTransport({
    listen: [{ host: '127.0.10.1', port: 0 }],
    ...options,
    credentials: constantCredentials(credentials),
    attestations,
    clock: systemClock,
    logger: recorder,
    metrics: recorder,
  })
  const heard: TestTransport['heard'] = []
  transport.onDatagram((from, body, replyTo) =>
    heard.push({ from, text: Buffer.from(body).toString(), replyTo }),
  )
  t.after(() => transport.stop())
  await transport.start()
  const endpoint = transport.listening()[0] ?? { host: '127.0.10.1', port: 9 }
  return { transport, recorder, attestations, credentials, endpoint, heard }
}

async function pair(
  t: TestContext,
  listen: readonly Endpoint[] = [{ host: '127.0.10.2', port: 0 }],
): Promise<[TestTransport, TestTransport]> {
  const set = [...(await makeTestCluster({ nodes: [{ name: 'a' }, { name: 'b' }], authority })).values()]
  assert.ok(set[0] && set[1])
  const a = await startTransport(t, set[0])
  const b = await startTransport(t, set[1], { listen })
  a.attestations.admit(b.attestations.own().bytes)
  b.attestations.admit(a.attestations.own().bytes)
  return [a, b]
}

function sendRaw(t: TestContext, to: Endpoint): (bytes: Uint8Array) => Promise<void> {
  const socket = createSocket('udp4')
  t.after(() => {
    socket.close()
  })
  return (bytes) => new Promise((resolve) => socket.send(bytes, to.port, to.host, () => resolve()))
}

function sealerOf(set: CredentialSet, keyring = set.keyring): DatagramSealer {
  return new DatagramSealer({
    publicKey: set.identityPublicKey,
    privateKey: set.identityPrivateKey,
    keyring: () => keyring,
    bootSalt: randomBytes(16),
  })
}

const refused = (to: TestTransport, reason: string) =>
  to.recorder.counted('starling_datagrams_refused_total', { reason })

test('attested nodes exchange datagrams, and the answer goes back to where the question came from', async (t) => {
  const [a, b] = await pair(t)
  b.transport.onDatagram((_from, body, replyTo) =>
    b.transport.send(replyTo, Buffer.concat([body, Buffer.from('!')])),
  )
  await eventually(() => {
    a.transport.send(b.endpoint, Buffer.from('hello'))
    return a.heard.length > 0
  })
  assert.deepEqual(a.heard[0], { from: b.credentials.peerId, text: 'hello!', replyTo: b.endpoint })
  assert.equal(refused(a, 'unattested') + refused(b, 'unattested'), 0)
})

test('an answer leaves by the socket that received, of several', async (t) => {
  const listen = ['127.0.10.2', '127.0.10.3', '127.0.10.4'].map((host) => ({ host, port: 0 }))
  const [a, b] = await pair(t, listen)
  b.transport.onDatagram((_from, body, replyTo) => b.transport.send({ ...replyTo }, body))
  for (const endpoint of b.transport.listening()) {
    a.transport.send(endpoint, Buffer.from(endpoint.host))
    await eventually(() =>
      a.heard.some(({ text, replyTo }) => text === endpoint.host && replyTo.host === endpoint.host),
    )
  }
})

test('a datagram of the greatest size arrives; a greater one is dropped with a count, and nothing is thrown', async (t) => {
  const [a, b] = await pair(t)
  const text = 'x'.repeat(maxDatagramBodySizeBytes)
  a.transport.send(b.endpoint, Buffer.from(text))
  await eventually(() => b.heard.some((message) => message.text === text))
  a.transport.send(b.endpoint, new Uint8Array(1_200))
  assert.equal(a.recorder.counted('starling_datagrams_dropped_total', { reason: 'frame-too-large' }), 1)
})

test('who holds the PSK but no certificate is refused, and the reason and source are logged once', async (t) => {
  const [, b] = await pair(t)
  const stranger = await makeTestCredentials('stranger', { authority })
  const send = sendRaw(t, b.endpoint)
  const sealer = sealerOf(stranger)
  for (let count = 0; count < 10; count++) await send(sealer.seal(Buffer.from('let me in')))
  await eventually(() => refused(b, 'unattested') === 10)
  assert.equal(b.heard.length, 0)
  const lines = b.recorder.lines.filter(({ level }) => level === 'warn')
  assert.equal(lines.length, 1)
  assert.match(JSON.stringify(lines[0]), /unattested.*127\.0\.0\.1:\d+/)
})

test('another PSK, a replay and truncated, oversized and random bytes have their reasons', async (t) => {
  const [a, b] = await pair(t)
  const send = sendRaw(t, b.endpoint)
  const isRefused = (reason: string, bytes: Uint8Array) =>
    eventually(async () => {
      await send(bytes)
      return refused(b, reason) > 0
    })
  await isRefused('unknown-key', sealerOf(a.credentials, makeTestKeyring()).seal(Buffer.from('x')))
  const sealed = sealerOf(a.credentials).seal(Buffer.from('once'))
  await isRefused('replayed', sealed)
  assert.equal(b.heard.filter(({ text }) => text === 'once').length, 1)
  const otherCounter = Buffer.from(sealed)
  otherCounter.writeUInt8(7, headerSizeBytes - 2)
  await isRefused('unsealed', otherCounter)
  await isRefused('truncated', sealed.subarray(0, 40))
  await isRefused('oversized', randomBytes(5_000))
  await isRefused('version', Buffer.concat([Buffer.of(99), randomBytes(300)]))
})

test('a flood of garbage is not looked at beyond its bound, and known peers are still heard', async (t) => {
  const set = [...(await makeTestCluster({ nodes: [{ name: 'a' }, { name: 'b' }], authority })).values()]
  assert.ok(set[0] && set[1])
  const a = await startTransport(t, set[0])
  const b = await startTransport(t, set[1], { receiveGate: { refusalsPerSecond: 50 } })
  b.attestations.admit(a.attestations.own().bytes)
  await eventually(() => {
    a.transport.send(b.endpoint, Buffer.from('known'))
    return b.heard.length > 0
  })
  const send = sendRaw(t, b.endpoint)
  for (let count = 0; count < 2_000; count++) await send(randomBytes(200))
  await eventually(() => refused(b, 'rate') > 1_000)
  a.transport.send(b.endpoint, Buffer.from('still here'))
  await eventually(() => b.heard.some(({ text }) => text === 'still here'))
})

test('sending to nowhere, to the wrong family and after the stop throws nothing', async (t) => {
  const [a] = await pair(t)
  a.transport.send({ host: '127.0.10.99', port: 1 }, Buffer.from('x'))
  a.transport.send({ host: '::1', port: 1 }, Buffer.from('x'))
  a.transport.send({ host: 'not-an-address', port: 1 }, Buffer.from('x'))
  a.transport.send({ host: '127.0.10.1', port: 70_000 }, Buffer.from('x'))
  await a.transport.stop()
  a.transport.send({ host: '127.0.10.2', port: 1 }, Buffer.from('x'))
  assert.equal(a.transport.available(), false)
  assert.equal(a.recorder.counted('starling_datagrams_dropped_total', { reason: 'no-socket' }), 3)
})

test('a listener that throws costs the datagram, not the node', async (t) => {
  const [a, b] = await pair(t)
  b.transport.onDatagram(() => {
    throw new Error('broken listener')
  })
  a.transport.send(b.endpoint, Buffer.from('x'))
  await eventually(() => b.recorder.warned(/broken listener/))
})

test('a taken UDP port is one clear error that names it', async (t) => {
  const [a, b] = await pair(t)
  await assert.rejects(
    startTransport(t, b.credentials, { listen: [{ host: '127.0.10.8', port: 0 }, a.endpoint] }),
    {
      code: 'PORT_IN_USE',
      message: new RegExp(`port ${a.endpoint.port} is taken: cannot listen on UDP`),
    },
  )
})

test('with UDP switched off nothing is bound and nothing is available', async (t) => {
  const off = await startTransport(t, await makeTestCredentials('off', { authority }), { enabled: false })
  assert.equal(off.transport.available(), false)
  assert.deepEqual(off.transport.listening(), [])
  off.transport.send(off.endpoint, Buffer.from('x'))
})

test('IPv6 works beside IPv4', async (t) => {
  const listen = [
    { host: '127.0.10.5', port: 0 },
    { host: '::1', port: 0 },
  ]
  const set = [...(await makeTestCluster({ nodes: [{ name: 'a' }, { name: 'b' }], authority })).values()]
  assert.ok(set[0] && set[1])
  const a = await startTransport(t, set[0], { listen })
  const b = await startTransport(t, set[1], { listen })
  b.attestations.admit(a.attestations.own().bytes)
  for (const to of b.transport.listening()) {
    await eventually(() => {
      a.transport.send(to, Buffer.from(to.host))
      return b.heard.some(({ text }) => text === to.host)
    })
  }
})
