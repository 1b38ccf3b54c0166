import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import type { Endpoint } from '../../lib/core/peer.ts'
import { defaultRegistryLimits } from '../../lib/registry/messages.ts'
import { eventually } from '../support/eventually.ts'
import { makeTestCluster } from '../support/test-trust.ts'
import { blobPath, candidateOf, fetchFrom, startIdle, startPlane, type TestPlane } from './harness.ts'

/** More than the buffers of a connection take. */
const body = randomBytes(32 * 2 ** 20)
const hop = { 'starling-hop': '1' }
let cluster: Map<string, CredentialSet>
const node = (name: string): CredentialSet => cluster.get(name) as CredentialSet

before(async () => {
  cluster = await makeTestCluster({ nodes: ['asking', 'holder'].map((name) => ({ name })) })
})

const open = new AsyncDisposableStack()
after(() => open.disposeAsync())

async function idleClient(endpoint: Endpoint, path: string, headers: Record<string, string> = {}) {
  return open.use(await startIdle(endpoint, node('asking'), path, headers))
}

const parked = ({ metrics }: TestPlane, direction: string, event = 'parked') =>
  metrics.counts.get(`starling_parked_slots_total ${direction} ${event}`) ?? 0

test('peers that read nothing keep no room for uploads, and get the rest when they read on', async () => {
  const { transfer } = defaultRegistryLimits
  const limits = { transfer: { ...transfer, upload: { ...transfer.upload, atOnce: 2 } } }
  const holder = open.use(await startPlane(node('holder'), { host: '127.0.11.121', limits }))
  const path = blobPath(holder.control.local.put(body))
  const idle = [await idleClient(holder.endpoint, path, hop), await idleClient(holder.endpoint, path, hop)]
  assert.deepEqual(
    idle.map(({ status }) => status),
    [200, 200],
  )
  await eventually(() => parked(holder, 'upload') >= 2)
  const third = await fetchFrom(holder.endpoint, node('asking'), path, { headers: hop })
  assert.equal(third.status, 200)
  assert.ok(third.body.equals(body))
  for (const client of idle) assert.ok((await client.read()).equals(body))
  assert.ok(parked(holder, 'upload', 'resumed') >= 2)
})

test('clients that read nothing keep neither room nor connections to a sole holder from others, and get the rest', async () => {
  const { transfer } = defaultRegistryLimits
  const limits = {
    maxPeerConnections: 2,
    transfer: { ...transfer, download: { ...transfer.download, atOnce: 2 } },
  }
  const holder = open.use(await startPlane(node('holder'), { host: '127.0.11.122' }))
  const asking = open.use(await startPlane(node('asking'), { host: '127.0.11.123', limits }))
  const path = blobPath(holder.control.local.put(body))
  asking.control.candidates = [candidateOf(node('holder'), holder.endpoint)]
  const idle = [await idleClient(asking.endpoint, path), await idleClient(asking.endpoint, path)]
  await eventually(() => parked(asking, 'download') >= 2)
  const third = await fetchFrom(asking.endpoint, node('asking'), path)
  assert.equal(third.status, 200, third.body.toString('latin1', 0, 300))
  assert.ok(third.body.equals(body))
  const bodies = await Promise.all(idle.map((client) => client.read()))
  for (const bytes of bodies) assert.ok(bytes.equals(body))
  const blamed = asking.control.transfers.filter(
    ({ outcome }) => outcome !== 'complete' && outcome !== 'cancelled',
  )
  assert.deepEqual(blamed, [])
})

test('a request that finds all connections taken waits until a client is known to read nothing, and gets the one of that', async () => {
  const holder = open.use(await startPlane(node('holder'), { host: '127.0.11.124' }))
  const limits = { maxPeerConnections: 1 }
  const asking = open.use(await startPlane(node('asking'), { host: '127.0.11.125', limits }))
  const path = blobPath(holder.control.local.put(body))
  asking.control.candidates = [candidateOf(node('holder'), holder.endpoint)]
  const idle = await idleClient(asking.endpoint, path)
  const second = await fetchFrom(asking.endpoint, node('asking'), path)
  assert.equal(second.status, 200, second.body.toString('latin1', 0, 300))
  assert.ok(second.body.equals(body))
  assert.ok((await idle.read()).equals(body))
})
