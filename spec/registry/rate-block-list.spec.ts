import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { connect } from 'node:tls'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import { eventually } from '../support/eventually.ts'
import { makeTestCluster } from '../support/test-trust.ts'
import { fetchFrom, startPlane, type TestPlane } from './harness.ts'

let credentials: CredentialSet
let server: TestPlane

before(async () => {
  credentials = (await makeTestCluster({ nodes: [{ name: 'node' }] })).get('node') as CredentialSet
  server = await startPlane(credentials, { limits: { maxStrangersPerSecond: 5, maxPerHostPerSecond: 1_000 } })
})

after(() => server?.[Symbol.asyncDispose]())

/** A connection without a certificate from an address; resolves when it is over. */
function knock(localAddress: string): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ ...server.endpoint, localAddress, rejectUnauthorized: false } as object)
    socket.on('error', () => {})
    socket.on('close', () => resolve())
  })
}

const count = (part: string): number =>
  [...server.metrics.counts].reduce((sum, [key, value]) => (key.includes(part) ? sum + value : sum), 0)

test('strangers share a budget of new connections, and who has shown a certificate does not need it', async () => {
  assert.equal((await fetchFrom(server.endpoint, credentials, '/v2/')).status, 200)
  await eventually(async () => {
    const knocks = Array.from({ length: 60 }, (_, index) => knock(`127.0.99.${index + 1}`))
    const asked = await Promise.all([
      fetchFrom(server.endpoint, credentials, '/v2/'),
      ...Array.from({ length: 5 }, () => fetchFrom(server.endpoint, credentials, '/v2/')),
    ])
    assert.deepEqual(
      asked.map(({ status }) => status),
      Array.from({ length: 6 }, () => 200),
    )
    await Promise.all(knocks)
    return count('strangers') >= 40
  })
  assert.ok(count('no-certificate') > 0, 'some were looked at')
})
