import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { probeOverTcp, type TcpProbeOutcome } from '../../lib/app/membership/tcp-probe.ts'
import type { PeerRpc } from '../../lib/core/messaging.ts'
import { systemClock } from '../network/test-host.ts'
import { eventually } from '../support/eventually.ts'
import { makeIdentity } from './fixtures.ts'

const answer = Uint8Array.of(1)

/** A port that accepts or refuses, and a process behind it that answers requests or is silent. */
async function play(t: TestContext, { accepts = true, answers = true } = {}) {
  const server = createServer((socket) => socket.destroy())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  t.after(() => server.close())
  if (!accepts) {
    server.close()
    await once(server, 'close')
  }
  const world = { requests: 0, reports: [] as TcpProbeOutcome['result'][], asked: 0, mayDial: true }
  const rpc: PeerRpc = {
    request: () => {
      world.requests++
      return answers ? Promise.resolve([answer]) : new Promise(() => undefined)
    },
    handle: () => undefined,
  }
  const probe = (isConnected: boolean) =>
    probeOverTcp(
      { rpc, clock: systemClock },
      {
        peerId: makeIdentity().peerId,
        endpoints: [{ host: '127.0.0.1', port }],
        body: answer,
        timeoutMs: 5_000,
        answerTimeoutMs: 60_000,
        isConnected,
        mayDial: () => {
          world.asked++
          return world.mayDial
        },
      },
      ({ result }) => world.reports.push(result),
    )
  return { world, probe }
}

test('a peer that is connected is asked over its connection, and its answer is all that is told', async (t) => {
  const { world, probe } = await play(t)
  await probe(true)
  assert.deepEqual(world, { requests: 1, reports: ['answered'], asked: 0, mayDial: true })
})

test('a peer without a connection is asked over a new one only after its kernel has accepted', async (t) => {
  const { world, probe } = await play(t)
  await probe(false)
  assert.deepEqual(world, { requests: 1, reports: ['accepted', 'answered'], asked: 1, mayDial: true })
})

test('nothing is dialled for a probe that has been answered meanwhile, or when too many dial', async (t) => {
  const { world, probe } = await play(t)
  world.mayDial = false
  await probe(false)
  assert.deepEqual(world, { requests: 0, reports: ['accepted'], asked: 1, mayDial: false })
})

test('a refused port is told at once, connected or not, and nobody is dialled for it', async (t) => {
  const { world, probe } = await play(t, { accepts: false, answers: false })
  await probe(false)
  await probe(true)
  assert.deepEqual(world, { requests: 1, reports: ['refused', 'refused'], asked: 0, mayDial: true })
})

test('a silent process behind a kernel that accepts is told as that, and no more', async (t) => {
  const { world, probe } = await play(t, { answers: false })
  void probe(true)
  await eventually(() => world.reports.length > 0)
  assert.deepEqual(world.reports, ['accepted'])
})
