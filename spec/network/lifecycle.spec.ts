import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { connect, createServer } from 'node:net'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { rpcProtocols } from '../../lib/core/messaging.ts'
import { eventually } from '../support/eventually.ts'
import { makeTestAuthority, makeTestCluster, makeTestCredentials } from '../support/test-trust.ts'
import { startRawPeer } from './raw-peer.ts'
import { startHost } from './test-host.ts'

const authority = await makeTestAuthority()

test('a taken TCP port is one clear error that names it, and nothing stays open', async (t) => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(20_310, '127.0.10.7', resolve))
  t.after(() => {
    taken.close()
  })
  const free = { host: '127.0.10.6', port: 20_311 }
  const listen = [free, { host: '127.0.10.7', port: 20_310 }]
  await assert.rejects(startHost(t, await makeTestCredentials('a', { authority }), { listen }), {
    code: 'PORT_IN_USE',
    message: /port 20310 is taken: cannot listen on TCP 127\.0\.10\.7:20310/,
  })
  const again = await startHost(t, await makeTestCredentials('b', { authority }), { listen: [free] })
  assert.deepEqual(again.host.listening(), [free])
})

test('an address that this machine does not have is named', async (t) => {
  await assert.rejects(
    startHost(t, await makeTestCredentials('a', { authority }), { listen: [{ host: '192.0.2.1', port: 0 }] }),
    { code: 'CONFIG_INVALID', message: /192\.0\.2\.1:0: this machine does not have that address/ },
  )
})

test('a host listens on what it was given, IPv4 and IPv6, and is reached on each', async (t) => {
  const listen = [
    { host: '127.0.10.4', port: 0 },
    { host: '127.0.10.5', port: 0 },
    { host: '::1', port: 0 },
  ]
  const a = await startHost(t, await makeTestCredentials('a', { authority }), { listen })
  assert.deepEqual(
    a.host.listening().map(({ host }) => host),
    listen.map(({ host }) => host),
  )
  for (const endpoint of a.host.listening()) {
    const b = await startHost(t, await makeTestCredentials('b', { authority }), { listen: [] })
    assert.deepEqual(b.host.listening(), [])
    assert.equal(await b.host.connect(endpoint, 5_000), a.peerId)
  }
})

test('a known peer is dialled at its next address when the first is dead', async (t) => {
  const a = await startHost(t, await makeTestCredentials('a', { authority }))
  const b = await startHost(t, await makeTestCredentials('b', { authority }))
  await b.host.connectPeer(a.peerId, [{ host: '127.0.10.9', port: 20_399 }, a.endpoint], 5_000)
  assert.equal(b.host.connections()[0]?.peerId, a.peerId)
})

test('a host can be stopped twice, started again, and asked in vain while it is stopped', async (t) => {
  const a = await startHost(t, await makeTestCredentials('a', { authority }))
  const b = await startHost(t, await makeTestCredentials('b', { authority }))
  await a.host.stop()
  await a.host.stop()
  assert.deepEqual(a.host.listening(), [])
  await assert.rejects(a.host.connect(b.endpoint, 1_000), { code: 'PEER_UNREACHABLE' })
  const options = { timeoutMs: 1_000, maxAnswerSizeBytes: 10 }
  await assert.rejects(a.host.request(b.peerId, rpcProtocols.probe, new Uint8Array(), options), {
    code: 'PEER_UNREACHABLE',
  })
  await a.host.start()
  assert.equal(await a.host.connect(b.endpoint, 5_000), b.peerId)
})

test('a process whose hosts are stopped ends by itself', async () => {
  const script = fileURLToPath(new URL('./stop-child.ts', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [script], { timeout: 20_000 })
  assert.equal(stdout, 'stopped\n')
})

test('random bytes on many connections at once cost nothing that stays', async (t) => {
  const a = await startHost(t, await makeTestCredentials('a', { authority }), { pskTimeoutMs: 300 })
  const b = await startHost(t, await makeTestCredentials('b', { authority }))
  await b.host.connect(a.endpoint, 5_000)
  let closed = 0
  for (let round = 0; round < 60; round++) {
    const socket = connect(a.endpoint)
    socket.on('error', () => {})
    socket.on('close', () => closed++)
    socket.write(randomBytes(1 + ((round * 37) % 2_000)))
  }
  await eventually(() => closed === 60)
  const counted = () => a.recorder.counted('starling_p2p_refused_total', { gate: 'psk' })
  await eventually(() => counted() === 60)
  assert.equal(a.host.connections().length, 1)
  a.host.handle(rpcProtocols.probe, () => [])
  const options = { timeoutMs: 2_000, maxAnswerSizeBytes: 10 }
  assert.deepEqual(await b.host.request(a.peerId, rpcProtocols.probe, new Uint8Array(), options), [])
})

test('a host that connects too often is turned away for the rest of the second, with a count and a line', async (t) => {
  const a = await startHost(t, await makeTestCredentials('a', { authority }), {
    inboundLimits: { maxPerHostPerSecond: 5 },
  })
  let closed = 0
  for (let count = 0; count < 20; count++) {
    const socket = connect(a.endpoint)
    socket.on('error', () => {})
    socket.on('close', () => closed++)
    t.after(() => {
      socket.destroy()
    })
  }
  await eventually(() => closed >= 10)
  assert.ok(a.recorder.counted('starling_p2p_refused_total', { gate: 'limit', reason: 'rate' }) >= 10)
  assert.ok(a.recorder.warned(/too many.*"remote":"127\./))
  const b = await startHost(t, await makeTestCredentials('b', { authority }))
  await eventually(async () => (await b.host.connect(a.endpoint, 2_000)) === a.peerId)
})

test('a member that sends random bytes on every protocol harms nobody', async (t) => {
  const a = await startHost(t, await makeTestCredentials('a', { authority }))
  const b = await startHost(t, await makeTestCredentials('b', { authority }))
  for (const { host } of [a, b]) {
    host.join('registry.example.com')
    for (const protocol of Object.values(rpcProtocols)) host.handle(protocol, () => [])
  }
  await b.host.connect(a.endpoint, 5_000)
  const raw = await startRawPeer(t, authority)
  const protocols = [...Object.values(rpcProtocols), '/meshsub/1.2.0', '/ipfs/id/1.0.0']
  for (let round = 0; round < 40; round++) {
    try {
      const stream = await raw.open(a, protocols[round % protocols.length] as string)
      stream.send(randomBytes(1 + ((round * 997) % 20_000)))
      if (round % 3 === 0) await stream.close({ signal: AbortSignal.timeout(100) })
    } catch {
      // The other side may reset a stream, or the connection, at any point.
    }
  }
  const options = { timeoutMs: 2_000, maxAnswerSizeBytes: 10 }
  assert.deepEqual(await b.host.request(a.peerId, rpcProtocols.probe, new Uint8Array(), options), [])
})

test('a peer that opens connection after connection keeps four at most', async (t) => {
  const a = await startHost(t, await makeTestCredentials('a', { authority }))
  const raw = await startRawPeer(t, authority)
  for (let count = 0; count < 10; count++) await raw.connect(a, { force: true })
  await eventually(() => a.host.connections().length <= 4)
})

test('fifty nodes behind one address start together, and all are let in', { timeout: 60_000 }, async (t) => {
  const nodes = Array.from({ length: 51 }, (_, index) => ({ name: `node-${index}` }))
  const [seedSet, ...sets] = [...(await makeTestCluster({ nodes, authority })).values()]
  assert.ok(seedSet)
  const seed = await startHost(t, seedSet)
  const hosts = await Promise.all(sets.map((set) => startHost(t, set, { listen: [] })))
  // A hundred ends of handshakes in one process: on a busy machine some take longer than one may, and come again.
  const reach = ({ host }: (typeof hosts)[number]) =>
    eventually(() => host.connect(seed.endpoint, 20_000), { timeoutMs: 45_000, intervalMs: 200 })
  const found = await Promise.all(hosts.map(reach))
  assert.ok(found.every((peerId) => peerId === seed.peerId))
  await eventually(() => new Set(seed.host.connections().map(({ peerId }) => peerId)).size === 50)
  assert.equal(seed.recorder.counted('starling_p2p_refused_total', { gate: 'limit' }), 0)
})
