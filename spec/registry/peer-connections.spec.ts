import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { normaliseTransfer } from '../../lib/config/transfer-section.ts'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import { makeTestCluster } from '../support/test-trust.ts'
import { blobPath, candidateOf, fetchFrom, keptAgent, startPlane } from './harness.ts'

const atOnce = 24
const rounds = 20
const generous = normaliseTransfer({ upload: { atOncePerPeer: atOnce } })

test('connections to a peer are kept for as many requests as run at once, not dialled anew for each', async () => {
  const cluster = await makeTestCluster({ nodes: ['asking', 'holding'].map((name) => ({ name })) })
  const node = (name: string) => cluster.get(name) as CredentialSet
  // A holder that takes few connections from one address, now and each second.
  await using holding = await startPlane(node('holding'), {
    host: '127.0.11.72',
    limits: { maxPerHostPerSecond: atOnce + 8, transfer: generous },
  })
  await using asking = await startPlane(node('asking'), { host: '127.0.11.71' })
  const path = blobPath(holding.control.local.put(randomBytes(50_000)))
  asking.control.candidates = [candidateOf(node('holding'), holding.endpoint)]
  const agents = Array.from({ length: atOnce }, keptAgent)
  const statuses = new Set<number>()
  for (let round = 0; round < rounds; round++) {
    // Between two rounds all connections are idle.
    const answers = agents.map((agent) => fetchFrom(asking.endpoint, node('asking'), path, { agent }))
    for (const { status } of await Promise.all(answers)) statuses.add(status)
  }
  for (const agent of agents) agent.destroy()
  assert.deepEqual([...statuses], [200])
  assert.equal(holding.metrics.counts.get('starling_registry_connections_refused_total') ?? 0, 0)
})
