import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { RecentRequests } from '../../../lib/app/registry/recent-requests.ts'
import type { RequestReport } from '../../../lib/core/lookup.ts'

function report(id: string | undefined, changes: Partial<RequestReport> = {}): RequestReport {
  return {
    method: 'GET',
    path: '/v2/',
    registry: undefined,
    status: 200,
    source: 'peer',
    reason: 'from node-2',
    peers: ['node-2'],
    bytes: 5,
    durationMs: 1,
    incomplete: false,
    fromPeer: false,
    client: 'node-1',
    ...(id === undefined ? {} : { id, shares: [{ peer: 'node-2', bytes: 5 }] }),
    ...changes,
  }
}

describe('the requests that are remembered', () => {
  it('are those that have a name and do not come from peers', () => {
    const requests = new RecentRequests()
    requests.add(report('a'))
    requests.add(report(undefined))
    requests.add(report('b', { fromPeer: true }))
    assert.deepEqual(requests.get('a'), {
      id: 'a',
      status: 200,
      source: 'peer',
      reason: 'from node-2',
      shares: [{ peer: 'node-2', bytes: 5 }],
      bytes: 5,
      durationMs: 1,
    })
    assert.throws(() => requests.get('b'), { code: 'NOT_FOUND' })
  })

  it('are the last 512', () => {
    const requests = new RecentRequests()
    for (let index = 0; index < 600; index += 1) requests.add(report(`n${index}`))
    assert.throws(() => requests.get('n87'), { code: 'NOT_FOUND' })
    assert.equal(requests.get('n88').id, 'n88')
  })
})
