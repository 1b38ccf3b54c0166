import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import type { Digest } from '../../lib/core/digest.ts'
import { RecentSizes } from '../../lib/registry/recent-sizes.ts'
import { makeTestCluster } from '../support/test-trust.ts'
import { blobPath, type ClientAnswer, candidateOf, fetchFrom, startPlane, type TestPlane } from './harness.ts'

let cluster: Map<string, CredentialSet>
let holder: TestPlane
let asking: TestPlane
const node = (name: string): CredentialSet => cluster.get(name) as CredentialSet

before(async () => {
  cluster = await makeTestCluster({ nodes: ['asking', 'holder'].map((name) => ({ name })) })
  holder = await startPlane(node('holder'), { host: '127.0.11.121' })
  asking = await startPlane(node('asking'), { host: '127.0.11.122' })
})

after(async () => {
  await holder?.[Symbol.asyncDispose]()
  await asking?.[Symbol.asyncDispose]()
})

const ask = (plane: TestPlane, digest: Digest, method: 'HEAD' | 'GET'): Promise<ClientAnswer> =>
  fetchFrom(plane.endpoint, node('asking'), blobPath(digest), { method })

test('a size is kept for five seconds', () => {
  let nowMs = 1000
  const sizes = new RecentSizes(() => nowMs)
  sizes.put('sha256:a' as Digest, 7)
  nowMs += 4900
  assert.equal(sizes.get('sha256:a' as Digest), 7)
  nowMs += 200
  assert.equal(sizes.get('sha256:a' as Digest), undefined)
})

test('a holder is asked once for the size of a hot digest, and every HEAD gets it', async () => {
  const bytes = randomBytes(10_000)
  const digest = holder.control.local.put(bytes)
  asking.control.candidates = [candidateOf(node('holder'), holder.endpoint)]
  const before = asking.control.transfers.length
  for (let round = 0; round < 3; round++) {
    const { status, headers } = await ask(asking, digest, 'HEAD')
    assert.equal(status, 200)
    assert.equal(headers['content-length'], '10000')
    assert.equal(headers['docker-content-digest'], digest)
  }
  assert.equal(asking.control.transfers.length - before, 1)
})

test('nobody is told a size where no holder is known any more', async () => {
  const digest = holder.control.local.put(randomBytes(10_000))
  asking.control.candidates = [candidateOf(node('holder'), holder.endpoint)]
  assert.equal((await ask(asking, digest, 'HEAD')).status, 200)
  asking.control.candidates = []
  assert.equal((await ask(asking, digest, 'HEAD')).status, 404)
})

test('a size is forgotten when the blob turns out not to be there', async () => {
  const digest = holder.control.local.put(randomBytes(10_000))
  asking.control.candidates = [candidateOf(node('holder'), holder.endpoint)]
  assert.equal((await ask(asking, digest, 'HEAD')).status, 200)
  holder.control.local.blobs.delete(digest)
  assert.equal((await ask(asking, digest, 'GET')).status, 404)
  assert.equal((await ask(asking, digest, 'HEAD')).status, 404)
})
