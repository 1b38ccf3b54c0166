import assert from 'node:assert/strict'
import { createCipheriv, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { clusterTlsProtocol } from '../../lib/network/cluster-encrypter.ts'
import {
  deriveStreamKeys,
  makeDialerPreamble,
  readListenerPreamble,
} from '../../lib/trust/stream-preamble.ts'
import { eventually } from '../support/eventually.ts'
import {
  makeTestAuthority,
  makeTestCluster,
  makeTestCredentials,
  makeTestKeyring,
} from '../support/test-trust.ts'
import { MemoryAttestations, startHost, type TestHost } from './test-host.ts'

async function pair(t: Parameters<typeof startHost>[0], pskTimeoutMs = 3_000): Promise<[TestHost, TestHost]> {
  const set = [...(await makeTestCluster({ nodes: [{ name: 'a' }, { name: 'b' }] })).values()]
  const [a, b] = await Promise.all(set.map((one) => startHost(t, one, { pskTimeoutMs })))
  return [a as TestHost, b as TestHost]
}

function dialRaw(
  t: Parameters<typeof startHost>[0],
  { endpoint }: TestHost,
): { socket: Socket; ended: () => boolean; received: () => number } {
  const socket = connect(endpoint)
  let ended = false
  let received = 0
  socket.on('data', (chunk) => {
    received += chunk.length
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    ended = true
  })
  t.after(() => {
    socket.destroy()
  })
  return { socket, ended: () => ended, received: () => received }
}

test('two nodes of one cluster pass all gates and attest each other', async (t) => {
  const [a, b] = await pair(t)
  assert.equal(await a.host.connect(b.endpoint, 5_000), b.peerId)
  assert.ok(a.attestations.isAttested(b.peerId))
  await eventually(() => b.attestations.isAttested(a.peerId) && b.host.connections().length === 1)
  assert.equal(a.host.connections()[0]?.direction, 'outbound')
  assert.deepEqual(a.host.connections()[0]?.remote, b.endpoint)
  assert.equal(a.recorder.counted('starling_p2p_refused_total'), 0)
  assert.equal(b.recorder.counted('starling_p2p_refused_total'), 0)
})

test('a node with another PSK is refused at the first gate without an answer', async (t) => {
  const authority = await makeTestAuthority()
  const good = await startHost(t, await makeTestCredentials('good', { authority }))
  const foreign = await startHost(
    t,
    await makeTestCredentials('foreign', { authority: { ...authority, keyring: makeTestKeyring() } }),
  )
  await assert.rejects(foreign.host.connect(good.endpoint, 5_000), { code: 'PEER_UNREACHABLE' })
  assert.equal(good.recorder.counted('starling_p2p_refused_total', { gate: 'psk', reason: 'wrong-key' }), 1)
  assert.ok(good.recorder.warned(/does not know the PSK.*127\.0\.0\.1|does not know the PSK.*127\./))
  assert.equal(foreign.recorder.counted('starling_p2p_refused_total', { gate: 'psk', reason: 'closed' }), 1)
  const raw = dialRaw(t, good)
  raw.socket.write(makeDialerPreamble(foreign.credentials.keyring[0], randomBytes(16)))
  await eventually(raw.ended)
  assert.equal(raw.received(), 0)
})

test('a connection that ends without a byte is counted and not warned of: members probe each other so', async (t) => {
  const [a] = await pair(t)
  const raw = dialRaw(t, a)
  await once(raw.socket, 'connect')
  raw.socket.end()
  await eventually(
    () => a.recorder.counted('starling_p2p_refused_total', { gate: 'psk', reason: 'empty' }) === 1,
  )
  assert.ok(!a.recorder.warned(/PSK/))
})

test('an older key of the keyring is accepted from the dialler', async (t) => {
  const authority = await makeTestAuthority()
  const [newer] = makeTestKeyring()
  const rotated = { ...authority, keyring: [newer, ...authority.keyring] as const }
  const listener = await startHost(t, await makeTestCredentials('listener', { authority: rotated }))
  const dialer = await startHost(t, await makeTestCredentials('dialer', { authority }))
  assert.equal(await dialer.host.connect(listener.endpoint, 5_000), listener.peerId)
})

test('who sends nothing is cut off after the bounded wait, and counted', async (t) => {
  const [a] = await pair(t, 200)
  const raw = dialRaw(t, a)
  await eventually(raw.ended)
  assert.equal(raw.received(), 0)
  assert.equal(a.recorder.counted('starling_p2p_refused_total', { gate: 'psk', reason: 'silent' }), 1)
})

test('random bytes get no answer', async (t) => {
  const [a, b] = await pair(t)
  for (let round = 0; round < 20; round++) {
    const raw = dialRaw(t, a)
    raw.socket.write(randomBytes(33 + round * 97))
    await eventually(raw.ended)
    assert.equal(raw.received(), 0)
  }
  assert.equal(a.recorder.counted('starling_p2p_refused_total', { gate: 'psk', reason: 'wrong-key' }), 20)
  assert.equal(await b.host.connect(a.endpoint, 5_000), a.peerId)
})

test('who knows the PSK but speaks no TLS is cut off at the second gate', async (t) => {
  const [a] = await pair(t)
  const raw = dialRaw(t, a)
  raw.socket.write(makeDialerPreamble(a.credentials.keyring[0], randomBytes(16)))
  await eventually(() => raw.received() > 0)
  raw.socket.write(randomBytes(5_000))
  await eventually(raw.ended)
  await eventually(() => a.recorder.counted('starling_p2p_refused_total', { gate: 'tls' }) === 1)
})

test('random bytes where the TLS handshake should be are refused at the second gate', async (t) => {
  const [a, b] = await pair(t)
  const [psk] = a.credentials.keyring
  for (let round = 0; round < 20; round++) {
    const raw = dialRaw(t, a)
    const salt = randomBytes(16)
    raw.socket.write(makeDialerPreamble(psk, salt))
    const [answer] = (await once(raw.socket, 'data')) as [Buffer]
    const listenerSalt = readListenerPreamble(psk, salt, answer)
    assert.ok(listenerSalt)
    const { key, iv } = deriveStreamKeys(psk, salt, listenerSalt).dialerToListener
    const cipher = createCipheriv('aes-256-ctr', key, iv)
    const lines = ['/multistream/1.0.0\n', `${clusterTlsProtocol}\n`].map((line) => [
      line.length,
      ...Buffer.from(line),
    ])
    raw.socket.write(cipher.update(Uint8Array.from(lines.flat())))
    raw.socket.write(cipher.update(randomBytes(20_000 + round)))
    await eventually(raw.ended)
  }
  await eventually(() => a.recorder.counted('starling_p2p_refused_total', { gate: 'tls' }) === 20)
  assert.equal(await b.host.connect(a.endpoint, 5_000), a.peerId)
})

test('a peer that is not attested any more is disconnected', async (t) => {
  const set = [...(await makeTestCluster({ nodes: [{ name: 'a' }, { name: 'b' }] })).values()]
  assert.ok(set[0] && set[1])
  const a = await startHost(t, set[0], { maintenanceIntervalMs: 50 })
  const b = await startHost(t, set[1])
  await a.host.connect(b.endpoint, 5_000)
  a.attestations.revoke(b.peerId)
  await eventually(() => a.host.connections().length === 0 && b.host.connections().length === 0)
  assert.ok(a.recorder.warned(/not attested any more/))
})

test('a certificate of another CA is refused at the third gate, and its owner is told', async (t) => {
  const authority = await makeTestAuthority()
  const other = { ...(await makeTestAuthority()), keyring: authority.keyring }
  const good = await startHost(t, await makeTestCredentials('good', { authority }))
  const foreignSet = await makeTestCredentials('foreign', { authority: other })
  // Trusts the cluster, so that only its own certificate is wrong.
  const trusting = { ...foreignSet, serverCaPem: authority.serverCa.certPem }
  const foreign = await startHost(t, trusting)
  await assert.rejects(foreign.host.connect(good.endpoint, 5_000), {
    code: 'ATTESTATION_REFUSED',
    message: /refuses our certificate: untrusted/,
  })
  const labels = { gate: 'certificate', reason: 'untrusted' }
  await eventually(() => good.recorder.counted('starling_p2p_refused_total', labels) === 1)
  assert.ok(good.recorder.warned(/no certificate of this cluster.*"remote":"127\./))
  assert.equal(good.host.connections().length, 0)
  await assert.rejects(good.host.connect(foreign.endpoint, 5_000), { code: 'ATTESTATION_REFUSED' })
})

for (const [reason, terms] of [
  ['expired', { notAfterMs: Date.now() - 3_600_000, notBeforeMs: Date.now() - 7_200_000 }],
  ['not-yet-valid', { notBeforeMs: Date.now() + 3_600_000 }],
] as const) {
  test(`a certificate that is ${reason} is refused at the third gate, by whoever dials`, async (t) => {
    const authority = await makeTestAuthority()
    const good = await startHost(t, await makeTestCredentials('good', { authority }))
    const late = await startHost(t, await makeTestCredentials('late', { authority, ...terms }))
    await assert.rejects(late.host.connect(good.endpoint, 5_000), { code: 'ATTESTATION_REFUSED' })
    const labels = { gate: 'certificate', reason, direction: 'inbound' }
    await eventually(() => good.recorder.counted('starling_p2p_refused_total', labels) === 1)
    await assert.rejects(good.host.connect(late.endpoint, 5_000), { code: 'ATTESTATION_REFUSED' })
    assert.equal(good.host.connections().length, 0)
    assert.equal(good.attestations.isAttested(late.peerId), false)
  })
}

test('the attestation of another node does not help: the PeerId must be the one that TLS proved', async (t) => {
  const cluster = await makeTestCluster({ nodes: [{ name: 'good' }, { name: 'victim' }, { name: 'thief' }] })
  const [goodSet, victimSet, thiefSet] = [...cluster.values()]
  assert.ok(goodSet && victimSet && thiefSet)
  const good = await startHost(t, goodSet)
  const thief = await startHost(t, thiefSet, { attestations: new MemoryAttestations(thiefSet, victimSet) })
  await assert.rejects(thief.host.connect(good.endpoint, 5_000), { code: 'ATTESTATION_REFUSED' })
  const labels = { gate: 'certificate', reason: 'peer-id' }
  await eventually(() => good.recorder.counted('starling_p2p_refused_total', labels) === 1)
  assert.equal(good.host.connections().length, 0)
})

test('a certificate that names another PeerId is refused', async (t) => {
  const cluster = await makeTestCluster({ nodes: [{ name: 'good' }, { name: 'owner' }, { name: 'mixed' }] })
  const [goodSet, ownerSet, mixedSet] = [...cluster.values()]
  assert.ok(goodSet && ownerSet && mixedSet)
  const good = await startHost(t, goodSet)
  const mixed = await startHost(t, { ...mixedSet, serving: ownerSet.serving })
  await assert.rejects(mixed.host.connect(good.endpoint, 5_000), { code: 'ATTESTATION_REFUSED' })
  const labels = { gate: 'certificate', reason: 'peer-id' }
  await eventually(() => good.recorder.counted('starling_p2p_refused_total', labels) === 1)
})

test('a dial that expects another PeerId fails at the second gate', async (t) => {
  const cluster = await makeTestCluster({ nodes: [{ name: 'a' }, { name: 'b' }, { name: 'c' }] })
  const [first, second, third] = [...cluster.values()]
  assert.ok(first && second && third)
  const a = await startHost(t, first)
  const b = await startHost(t, second)
  await assert.rejects(a.host.connectPeer(third.peerId, [b.endpoint], 5_000), { code: 'PEER_UNREACHABLE' })
  assert.equal(a.recorder.counted('starling_p2p_refused_total', { gate: 'tls', reason: 'peer-id' }), 1)
})

test('a dial to our own address yields our own PeerId', async (t) => {
  const [a] = await pair(t)
  assert.equal(await a.host.connect(a.endpoint, 5_000), a.peerId)
  assert.equal(a.host.connections().length, 0)
})

test('an address where nobody listens is unreachable, at once', async (t) => {
  const [a] = await pair(t)
  await assert.rejects(a.host.connect({ host: '127.0.10.9', port: 20_001 }, 5_000), {
    code: 'PEER_UNREACHABLE',
    message: /ECONNREFUSED/,
  })
})
