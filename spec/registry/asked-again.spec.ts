import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import { makeTestCluster } from '../support/test-trust.ts'
import { blobPath, candidateOf, digestOf, fetchFrom, startPlane } from './harness.ts'
import { startHostilePeer } from './hostile-peer.ts'

const limits = { stallTimeoutMs: 600, connectTimeoutMs: 600, firstByteTimeoutMs: 600 }
const large = randomBytes(6_000_000)

test('a sole holder that falls silent once gives the rest when it is asked again', async () => {
  const cluster = await makeTestCluster({ nodes: ['asking', 'hostile'].map((name) => ({ name })) })
  const node = (name: string): CredentialSet => cluster.get(name) as CredentialSet
  let answers = 0
  await using holder = await startHostilePeer(node('hostile'), '127.0.11.3', large, (answer) => {
    answer.head()
    const rest = answer.body.subarray(answer.start)
    if (answers++ > 0) answer.response.end(rest)
    else answer.response.write(rest.subarray(0, 3_000_000))
  })
  await using asking = await startPlane(node('asking'), { limits })
  asking.control.candidates = [candidateOf(node('hostile'), holder.endpoint)]
  const answer = await fetchFrom(asking.endpoint, node('asking'), blobPath(digestOf(large)))
  assert.ok(answer.body.equals(large))
  assert.equal(answers, 2)
})
