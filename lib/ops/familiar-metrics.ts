import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { RegistrySummary } from '../core/cluster.ts'
import type { RequestReport } from '../core/lookup.ts'
import type { Metrics } from '../core/ports.ts'

/** Most registries that are told apart; the others are counted under `other`. */
const maxRegistries = 200
const resolveBuckets = [1e-6, 5e-6, 2e-5, 1e-4, 1e-3, 5e-3, 0.025, 0.1, 0.5, 2.5, 10]
const durationBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const sizeBuckets = [100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]

/**
 * The metrics that dashboards made for Spegel read, under its names, beside our own: what they count is the same, so that
 * those dashboards go on when Starling takes its place.
 */
export interface FamiliarMetrics {
  /** Passes everything on, and counts under the familiar names what has one. */
  readonly metrics: Metrics
  requested(report: RequestReport): void
  /** What this node offers now. */
  advertised(summaries: readonly RegistrySummary[]): void
}

export function createFamiliarMetrics(
  own: Metrics,
  registry: Registry,
  nowMs: () => number,
): FamiliarMetrics {
  const registers = [registry]
  const requests = new Counter({
    name: 'spegel_mirror_requests_total',
    help: 'Requests of clients to the mirror: hit where this node or a peer had it',
    labelNames: ['registry', 'cache'],
    registers,
  })
  const lastSuccess = new Gauge({
    name: 'spegel_mirror_last_success_timestamp_seconds',
    help: 'When the mirror last answered a client with content, since 1970',
    registers,
  })
  const resolve = new Histogram({
    name: 'spegel_resolve_duration_seconds',
    help: 'Time that a lookup of holders took',
    labelNames: ['router'],
    buckets: resolveBuckets,
    registers,
  })
  const advertisedGauge = (name: string, help: string) =>
    new Gauge({ name: `spegel_advertised_${name}`, help, labelNames: ['registry'], registers })
  const tags = advertisedGauge('image_tags', 'Tags that this node offers')
  const images = advertisedGauge('image_digests', 'Manifests and indexes of images that this node offers')
  const content = advertisedGauge('content_digests', 'Digests that this node offers')
  const httpLabels = ['handler', 'method', 'code']
  const duration = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Time from a request to the registry API to the end of its answer',
    labelNames: httpLabels,
    buckets: durationBuckets,
    registers,
  })
  const size = new Histogram({
    name: 'http_response_size_bytes',
    help: 'Bytes of a body of the registry API',
    labelNames: httpLabels,
    buckets: sizeBuckets,
    registers,
  })
  const inFlight = new Gauge({
    name: 'http_requests_inflight',
    help: 'Requests to the registry API that are being answered',
    labelNames: ['handler'],
    registers,
  })
  const inFlightOf = new Map<string, number>()
  const known = new Set<string>()

  function registryLabel(name: string | undefined): string {
    if (name === undefined) return ''
    if (known.size < maxRegistries) known.add(name)
    return known.has(name) ? name : 'other'
  }

  return {
    metrics: {
      count: (name, labels, amount) => own.count(name, labels, amount),
      observe(name, value, labels) {
        own.observe(name, value, labels)
        if (name === 'starling_lookup_duration_seconds') resolve.observe({ router: 'catalog' }, value)
      },
      set(name, value, labels) {
        own.set(name, value, labels)
        if (name !== 'starling_registry_requests_in_flight') return
        inFlightOf.set(labels?.worker ?? '', value)
        inFlight.set(
          { handler: 'registry' },
          [...inFlightOf.values()].reduce((sum, each) => sum + each, 0),
        )
      },
    },
    requested(report) {
      const { method, status, fromPeer, registry: name } = report
      const known = method === 'GET' || method === 'HEAD' ? method : 'other'
      const labels = { handler: handlerOf(report.path), method: known, code: String(status) }
      duration.observe(labels, report.durationMs / 1000)
      size.observe(labels, report.bytes)
      if (fromPeer || labels.handler === 'other' || known === 'other') return
      const hit = status >= 200 && status < 400
      if (hit) lastSuccess.set(nowMs() / 1000)
      if (hit || status === 404) requests.inc({ registry: registryLabel(name), cache: hit ? 'hit' : 'miss' })
    },
    advertised(summaries) {
      for (const gauge of [tags, images, content]) gauge.reset()
      for (const summary of summaries) {
        const labels = { registry: registryLabel(summary.registry) }
        tags.inc(labels, summary.localTags)
        images.inc(labels, summary.localImages)
        content.inc(labels, summary.localDigests)
      }
    },
  }
}

function handlerOf(path: string): string {
  if (/^\/v2\/.+\/manifests\//.test(path)) return 'manifest'
  return /^\/v2\/.+\/blobs\//.test(path) ? 'blob' : 'other'
}
