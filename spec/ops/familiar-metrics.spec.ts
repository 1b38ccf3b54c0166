import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { RequestReport } from '../../lib/core/lookup.ts'
import { createMetrics } from '../../lib/ops/metrics.ts'

const report: RequestReport = {
  method: 'GET',
  path: '/v2/library/alpine/blobs/sha256:ab?ns=docker.io',
  registry: 'docker.io',
  status: 200,
  source: 'peer',
  reason: '',
  peers: ['node-2'],
  bytes: 5000,
  durationMs: 20,
  incomplete: false,
  fromPeer: false,
  client: 'containerd',
}

async function linesOf(use: (node: ReturnType<typeof createMetrics>) => void): Promise<string[]> {
  const node = createMetrics({ strict: true, familiar: () => 1_700_000_000_500 })
  use(node)
  return (await node.text()).split('\n')
}

describe('metrics under the names that dashboards know', () => {
  it('count hits and misses of clients by registry, and nothing of peers', async () => {
    const lines = await linesOf(({ familiar }) => {
      familiar?.requested(report)
      familiar?.requested({ ...report, path: '/v2/library/alpine/manifests/3?ns=docker.io', status: 404 })
      familiar?.requested({ ...report, fromPeer: true })
      familiar?.requested({ ...report, path: '/v2/', registry: undefined })
      familiar?.requested({ ...report, status: 503 })
    })
    const counted = lines.filter((line) => line.startsWith('spegel_mirror_requests_total{'))
    assert.deepEqual(counted.sort(), [
      'spegel_mirror_requests_total{registry="docker.io",cache="hit"} 1',
      'spegel_mirror_requests_total{registry="docker.io",cache="miss"} 1',
    ])
    assert(lines.includes('spegel_mirror_last_success_timestamp_seconds 1700000000.5'))
    assert(lines.includes('http_request_duration_seconds_count{handler="blob",method="GET",code="200"} 2'))
    assert(lines.includes('http_response_size_bytes_sum{handler="blob",method="GET",code="200"} 10000'))
  })

  it('tell what is advertised, of registries that are mirrored now', async () => {
    const summary = {
      registry: 'docker.io',
      origins: 1,
      localDigests: 7,
      localTags: 3,
      localImages: 2,
      digests: 7,
      tags: 3,
      disputedTags: 0,
    }
    const lines = await linesOf(({ familiar }) => {
      familiar?.advertised([{ ...summary, registry: 'quay.io' }])
      familiar?.advertised([summary])
    })
    assert(lines.includes('spegel_advertised_image_tags{registry="docker.io"} 3'))
    assert(lines.includes('spegel_advertised_image_digests{registry="docker.io"} 2'))
    assert(lines.includes('spegel_advertised_content_digests{registry="docker.io"} 7'))
    assert(!lines.some((line) => line.includes('quay.io')))
  })

  it('follow our own: lookups, and the requests that all threads are answering', async () => {
    const lines = await linesOf(({ metrics }) => {
      metrics.observe('starling_lookup_duration_seconds', 0.000_003)
      metrics.set('starling_registry_requests_in_flight', 2, { worker: '0' })
      metrics.set('starling_registry_requests_in_flight', 5, { worker: '1' })
      metrics.set('starling_registry_requests_in_flight', 1, { worker: '0' })
    })
    assert(lines.includes('spegel_resolve_duration_seconds_count{router="catalog"} 1'))
    assert(lines.includes('http_requests_inflight{handler="registry"} 6'))
    assert(lines.includes('starling_registry_requests_in_flight{worker="1"} 5'))
  })

  it('are not there where they are not wanted', async () => {
    const node = createMetrics({ strict: true })
    node.metrics.observe('starling_lookup_duration_seconds', 1)
    assert.equal(node.familiar, undefined)
    assert(!/^(spegel|http)_/m.test(await node.text()))
  })
})
