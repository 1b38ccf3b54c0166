import type { MetricName } from '../core/ports.ts'

export interface MetricSpec {
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
  /** Upper bounds of a histogram, in its unit. */
  readonly buckets?: readonly number[]
}

const counter = (help: string, ...labels: string[]): MetricSpec => ({ type: 'counter', help, labels })
const gauge = (help: string, ...labels: string[]): MetricSpec => ({ type: 'gauge', help, labels })
const histogram = (help: string, buckets: readonly number[], ...labels: string[]): MetricSpec => ({
  type: 'histogram',
  help,
  labels,
  buckets,
})

/** Every metric of a node. A spec holds the table against what the source counts. */
export const metricTable: Readonly<Record<MetricName, MetricSpec>> = {
  starling_store_skipped_total: counter('Things in the content store that were passed over', 'reason'),
  starling_store_audit_differences_total: counter('What an audit found that no event had told'),
  starling_store_events_total: counter('Events of the content store', 'topic'),
  starling_store_disconnects_total: counter('Connections to the content store that broke'),
  starling_store_changes_total: counter('Changes that the store told the catalog', 'type'),
  starling_store_images: gauge('Images in the store'),
  starling_store_blobs: gauge('Blobs in the store'),

  starling_lookup_duration_seconds: histogram(
    'Time that a lookup in the catalog took',
    [1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 1e-3, 1e-2],
  ),
  starling_lookups_total: counter('Lookups in the catalog', 'result'),
  starling_transfers_total: counter('Attempts to get bytes from a peer', 'outcome'),
  starling_transfer_bytes_total: counter('Bytes received from peers'),
  starling_requests_total: counter('Requests to the registry API'),
  starling_request_bytes_total: counter('Bytes of bodies sent by the registry API', 'source'),
  starling_request_duration_seconds: histogram(
    'Time from a request to the registry API to the end of its answer',
    [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300],
  ),
  starling_requests_incomplete_total: counter('Bodies that ended before their length'),
  starling_registry_connections_dropped_total: counter('Connections refused by registry.maxConnections'),
  starling_registry_handshakes_refused_total: counter('TLS handshakes that the registry refused', 'reason'),
  starling_registry_malformed_requests_total: counter('Connections that sent no usable HTTP'),

  starling_rpc_requests_total: counter('Requests between nodes', 'protocol', 'side'),
  starling_rpc_failures_total: counter('Requests to other nodes that failed', 'protocol'),
  starling_rpc_refused_total: counter('Requests of other nodes that were refused', 'protocol', 'reason'),
  starling_broadcast_published_total: counter('Messages handed to the mesh'),
  starling_broadcast_received_total: counter('Messages from the mesh', 'verdict'),
  starling_broadcast_dropped_total: counter('Messages that could not be published', 'reason'),
}
