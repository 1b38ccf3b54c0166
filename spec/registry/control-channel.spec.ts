import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MessageChannel } from 'node:worker_threads'
import type { LookupAnswer, RegistryControl, RequestReport, TransferReport } from '../../lib/core/lookup.ts'
import type { PeerId } from '../../lib/core/peer-id.ts'
import { createControlClient, serveControl } from '../../lib/registry/control-channel.ts'
import { eventually } from '../support/eventually.ts'
import { digestOf, SpecControl } from './harness.ts'

const peerId = 'peer' as PeerId
const digest = digestOf(new Uint8Array())
const query = {
  registry: undefined,
  target: { kind: 'digest', repository: 'a', digest },
  fromPeer: false,
} as const
const report: RequestReport = {
  method: 'GET',
  path: '/v2/',
  registry: undefined,
  status: 200,
  source: 'none',
  reason: '',
  peers: [],
  bytes: 0,
  durationMs: 0,
  incomplete: false,
  fromPeer: false,
  client: undefined,
}

function channel(
  control: RegistryControl,
  options: {
    timeoutMs?: number
    claimTimeoutMs?: number
    maxInFlight?: number
    onDropped?: (count: number) => void
  } = {},
) {
  const { port1, port2 } = new MessageChannel()
  const end = serveControl(port1, control, options.onDropped)
  const { timeoutMs = 1000, claimTimeoutMs = timeoutMs, maxInFlight = 10 } = options
  const client = createControlClient(port2, { timeoutMs, claimTimeoutMs, maxInFlight })
  return {
    client,
    end,
    [Symbol.dispose]: () => {
      client.close()
      end()
    },
  }
}

test('answers come back to the question they belong to, in any order', async () => {
  const control = new SpecControl()
  const gates: (() => void)[] = []
  const slow = Object.assign(Object.create(control) as SpecControl, {
    list: async (question: { repository: string | undefined }) => {
      if (question.repository === 'first') await new Promise<void>((resolve) => gates.push(resolve))
      return { found: true, registry: 'r', names: [question.repository] } as never
    },
  })
  using pair = channel(slow)
  const first = pair.client.list({ registry: undefined, repository: 'first' })
  const second = await pair.client.list({ registry: undefined, repository: 'second' })
  assert.deepEqual(second, { found: true, registry: 'r', names: ['second'] })
  gates[0]?.()
  assert.deepEqual(await first, { found: true, registry: 'r', names: ['first'] })
})

test('a control plane that does not answer in time, or fails, is an error for the one who asked', async () => {
  const control = new SpecControl()
  const silent = Object.assign(Object.create(control) as SpecControl, {
    lookup: () => new Promise<LookupAnswer>(() => {}),
    list: () => Promise.reject(new Error('the catalog is on fire')),
  })
  using pair = channel(silent, { timeoutMs: 30, maxInFlight: 1 })
  const waiting = pair.client.lookup(query)
  await assert.rejects(pair.client.list({ registry: undefined, repository: undefined }), /too many look-ups/)
  await assert.rejects(waiting, /no answer within 0.03 s/)
  await assert.rejects(pair.client.list({ registry: undefined, repository: undefined }), /on fire/)
})

test('a look-up that claims a blob is waited for longer', async () => {
  const silent = Object.assign(Object.create(new SpecControl()) as SpecControl, {
    lookup: () => new Promise<LookupAnswer>(() => {}),
  })
  using pair = channel(silent, { timeoutMs: 30, claimTimeoutMs: 60 })
  await assert.rejects(pair.client.lookup({ ...query, claim: { lost: [] } }), /no answer within 0.06 s/)
})

test('reports cross the channel, and reports of requests are dropped and counted when nobody reads them', async () => {
  const control = new SpecControl()
  let dropped = 0
  using pair = channel(control, { onDropped: (count) => (dropped += count) })
  for (let index = 0; index < 5000; index++) pair.client.requested(report)
  pair.client.missing(digest)
  await eventually(() => control.lost.length === 1)
  assert.equal(control.requests.length, 4096)
  await eventually(() => {
    pair.client.requested(report)
    return dropped === 904
  })
})

test('transfers that a worker can no longer end are ended as cancelled when its channel is closed', async () => {
  const control = new SpecControl()
  const pair = channel(control)
  const ended: TransferReport = { peerId, outcome: 'complete', bytes: 1, firstByteMs: 1, durationMs: 1 }
  for (let index = 0; index < 3; index++) pair.client.transferStarted(peerId)
  pair.client.transferred(ended)
  await eventually(() => control.transfers.length === 1)
  pair.client.close()
  pair.end()
  pair.end()
  assert.equal(control.running, 0)
  assert.deepEqual(
    control.transfers.map(({ outcome }) => outcome),
    ['complete', 'cancelled', 'cancelled'],
  )
})
