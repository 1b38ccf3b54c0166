import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import { defaultRegistryLimits, type RegistryLimits } from '../../lib/registry/messages.ts'
import { eventually } from '../support/eventually.ts'
import { makeTestCluster } from '../support/test-trust.ts'
import { blobPath, candidateOf, fetchFrom, startPlane, type TestPlane } from './harness.ts'
import { type HostilePeer, startHostilePeer } from './hostile-peer.ts'

const body = randomBytes(20_000_000)
let cluster: Map<string, CredentialSet>
let honest: TestPlane
const node = (name: string): CredentialSet => cluster.get(name) as CredentialSet

before(async () => {
  cluster = await makeTestCluster({ nodes: ['asking', 'honest', 'other'].map((name) => ({ name })) })
  honest = await startPlane(node('honest'), { host: '127.0.11.62' })
})

after(async () => {
  await honest?.[Symbol.asyncDispose]()
})

function uploadsAtOnce(atOnce: number): Partial<RegistryLimits> {
  const { transfer } = defaultRegistryLimits
  return { transfer: { ...transfer, upload: { ...transfer.upload, atOnce } } }
}

function startBusy(): Promise<HostilePeer> {
  return startHostilePeer(node('other'), '127.0.11.63', body, ({ response }) => {
    response.writeHead(429, { 'retry-after': '1', 'content-length': 0 })
    response.end()
  })
}

test('a peer whose slots are taken says so to peers, and never to containerd', async () => {
  await using full = await startPlane(node('other'), { host: '127.0.11.64', limits: uploadsAtOnce(0) })
  const path = blobPath(full.control.local.put(body))
  const refused = await fetchFrom(full.endpoint, node('asking'), path, { headers: { 'starling-hop': '1' } })
  assert.equal(refused.status, 429)
  assert.equal(refused.headers['retry-after'], '1')
  assert.equal((await fetchFrom(full.endpoint, node('asking'), path)).status, 200)
  assert.equal((await fetchFrom(full.endpoint, node('asking'), `${path}&hop=1`)).status, 503)
})

test('a slot is free again when its answer has ended', async () => {
  await using narrow = await startPlane(node('other'), { host: '127.0.11.64', limits: uploadsAtOnce(1) })
  const path = blobPath(narrow.control.local.put(body))
  for (let round = 0; round < 3; round++) {
    const answer = await fetchFrom(narrow.endpoint, node('asking'), path, {
      headers: { 'starling-hop': '1' },
    })
    assert.equal(answer.status, 200)
  }
})

test('a requester goes from a busy holder to another one, and blames nobody', async () => {
  await using asking = await startPlane(node('asking'), { host: '127.0.11.61' })
  await using busy = await startBusy()
  const path = blobPath(honest.control.local.put(body))
  asking.control.candidates = [
    candidateOf(node('other'), busy.endpoint),
    candidateOf(node('honest'), honest.endpoint),
  ]
  const answer = await fetchFrom(asking.endpoint, node('asking'), path)
  assert.ok(answer.body.equals(body))
  assert.ok(asking.control.transfers.some(({ outcome }) => outcome === 'busy'))
})

test('where all holders are busy the requester finds one that got the blob a moment ago', async () => {
  await using asking = await startPlane(node('asking'), { host: '127.0.11.61' })
  await using busy = await startBusy()
  const path = blobPath(honest.control.local.put(body))
  asking.control.candidates = [candidateOf(node('other'), busy.endpoint)]
  const pulling = fetchFrom(asking.endpoint, node('asking'), path)
  await eventually(() => busy.seen.requests > 0)
  asking.control.candidates = [candidateOf(node('honest'), honest.endpoint)]
  assert.ok((await pulling).body.equals(body))
})

test('where all holders stay busy the answer is 404 after a bounded time', async () => {
  await using asking = await startPlane(node('asking'), {
    host: '127.0.11.61',
    limits: { openBudgetMs: 500 },
  })
  await using busy = await startBusy()
  asking.control.candidates = [candidateOf(node('other'), busy.endpoint)]
  const answer = await fetchFrom(asking.endpoint, node('asking'), blobPath(honest.control.local.put(body)))
  assert.equal(answer.status, 404)
})

test('a body is striped over several holders and comes out in order', async () => {
  await using asking = await startPlane(node('asking'), { host: '127.0.11.61' })
  await using second = await startPlane(node('other'), { host: '127.0.11.64' })
  const path = blobPath(honest.control.local.put(body))
  second.control.local.put(body)
  asking.control.candidates = [
    candidateOf(node('honest'), honest.endpoint),
    candidateOf(node('other'), second.endpoint),
  ]
  const answer = await fetchFrom(asking.endpoint, node('asking'), path)
  assert.ok(answer.body.equals(body))
  const givers = new Set(
    asking.control.transfers.filter(({ bytes }) => bytes > 0).map(({ peerId }) => peerId),
  )
  assert.equal(givers.size, 2)
  const fetched = asking.control.transfers.reduce((sum, { bytes }) => sum + bytes, 0)
  assert.ok(fetched < body.length * 1.5, 'nothing much was asked for twice')
})
