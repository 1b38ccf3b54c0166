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
  starling_members: gauge('Members that this node knows', 'state'),
  starling_membership_changes_total: counter('Changes of the state of a member', 'to'),
  starling_membership_events_total: counter('What the membership protocol did', 'event'),
  starling_membership_local_health: gauge('Doubt in this node itself, 0 is none (Lifeguard)'),
  starling_membership_name_conflicts_total: counter('Nodes that bear the name of another one'),
  starling_membership_records_refused_total: counter('Member records that were refused', 'reason'),
  starling_membership_rumours: gauge('Rumours that are still being spread'),
  starling_membership_sends_dropped_total: counter('Messages that could not wait for a connection'),
  starling_membership_suspicions: gauge('Members that are suspected now'),
  starling_membership_timers: gauge('Timers of the membership protocol'),
  starling_membership_wants: gauge('Member records that are still asked for'),

  starling_attested_peers: gauge('Peers that have proved that they belong to the cluster'),
  starling_attestation_refused_total: counter('Attestations passed on by peers and refused', 'reason'),
  starling_rotation_running: gauge('Whether keys are being exchanged, 1 or 0; on servers'),
  starling_revocation_lists_total: counter('Lists of revoked nodes that neighbours passed on', 'outcome'),
  starling_datagrams_sent_total: counter('Datagrams sent'),
  starling_datagrams_received_total: counter('Datagrams received and accepted'),
  starling_datagrams_refused_total: counter('Datagrams that were not from a member of the cluster', 'reason'),
  starling_datagrams_dropped_total: counter('Datagrams that were not sent', 'reason'),
  starling_p2p_connections: gauge('Connections to other nodes'),
  starling_p2p_dials_total: counter('Attempts to connect to another node', 'result'),
  starling_p2p_refused_total: counter('Connections refused at a gate', 'gate', 'reason', 'direction'),
  starling_rpc_requests_total: counter('Requests between nodes', 'protocol', 'side'),
  starling_rpc_failures_total: counter('Requests to other nodes that failed', 'protocol'),
  starling_rpc_refused_total: counter('Requests of other nodes that were refused', 'protocol', 'reason'),
  starling_broadcast_published_total: counter('Messages handed to the mesh'),
  starling_broadcast_received_total: counter('Messages from the mesh', 'verdict'),
  starling_broadcast_dropped_total: counter('Messages that could not be published', 'reason'),

  starling_catalog_announcement_gap_seconds: gauge(
    'Least time between two own announcements, longer while many come from others',
  ),
  starling_catalog_comparisons_total: counter('Comparisons of the catalog with a neighbour', 'outcome'),
  starling_catalog_epochs_raised_total: counter('Own epochs raised because others knew a later one'),
  starling_catalog_held_total: counter('Deltas that waited for their origin to become known', 'outcome'),
  starling_catalog_inventories_total: counter('Inventories fetched from neighbours', 'outcome'),
  starling_catalog_messages_total: counter('Deltas and checkpoints that came in', 'outcome'),
  starling_catalog_published_total: counter('Deltas and checkpoints that were sent', 'kind'),
  starling_catalog_recalled_total: counter(
    'Inventories of an earlier start that were kept on disk',
    'outcome',
  ),
  starling_catalog_reminders_left_out_total: counter(
    'Reminders of own announcements that were not sent because many come from others',
  ),
  starling_catalog_repairs_total: counter('Repairs of gaps in the catalog', 'outcome'),
  starling_catalog_requests_total: counter('Requests of neighbours that the catalog answered', 'kind'),
  starling_disputed_tags_answered_total: counter(
    'Requests for a tag on which nodes disagree that were answered by majority',
  ),
  starling_hosts_rewrites_total: counter('Times that hosts.toml files were brought in step'),
  starling_reloads_total: counter('Changes of files that were applied'),
  starling_imports_total: counter('Archives of the images folder', 'outcome'),
  starling_reload_failures_total: counter('Changes of a file that could not be used'),

  starling_supervisor_requests_total: counter('Requests to the supervisor', 'route', 'status'),
  starling_supervisor_refused_total: counter('Requests that the supervisor refused', 'reason'),
  starling_supervisor_connections_refused_total: counter('Connections that the supervisor refused', 'reason'),
  starling_supervisor_issued_total: counter('Times that a node was given certificates', 'kind'),
  starling_supervisor_watchers: gauge('Nodes that wait for changes at this server'),
  starling_supervisor_state_pulls_total: counter('Looks at the state of another server', 'outcome'),
  starling_cluster_watches_total: counter('Questions to the servers for changes', 'outcome'),
  starling_cluster_changes_total: counter('Changes from the servers that were applied'),
  starling_certificate_renewals_total: counter('Renewals of the certificates of this node', 'outcome'),

  starling_store_images: gauge('Images in the store'),
  starling_store_blobs: gauge('Blobs in the store'),
  starling_store_changes_total: counter('Changes that the store told the catalog', 'type'),
  starling_store_events_total: counter('Events of the content store', 'topic'),
  starling_store_disconnects_total: counter('Connections to the content store that broke'),
  starling_store_audit_differences_total: counter('What an audit found that no event had told'),
  starling_store_skipped_total: counter('Things in the content store that were passed over', 'reason'),

  starling_lookup_duration_seconds: histogram(
    'Time that a lookup in the catalog took',
    [1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 1e-3, 1e-2],
  ),
  starling_lookups_total: counter('Lookups in the catalog', 'result'),
  starling_requests_total: counter('Requests to the registry API', 'method', 'status', 'source', 'from'),
  starling_request_bytes_total: counter('Bytes of bodies sent by the registry API', 'source'),
  starling_request_duration_seconds: histogram(
    'Time from a request to the registry API to the end of its answer',
    [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300],
    'source',
  ),
  starling_requests_incomplete_total: counter('Bodies that ended before their length'),
  starling_request_reports_dropped_total: counter(
    'Requests that were not logged because there were too many',
  ),
  starling_transfers_total: counter('Attempts to get bytes from a peer', 'outcome'),
  starling_redirects_total: counter(
    'Requests that might be redirected: sent to a holder, or why their bytes went through this node',
    'outcome',
  ),
  starling_hedges_total: counter(
    'Late ranges that were asked for twice, or not, for too many are',
    'outcome',
  ),
  starling_parked_slots_total: counter(
    'Rooms of requests given back while their reader took nothing, taken again, or refused then',
    'direction',
    'event',
  ),
  starling_transfer_bytes_total: counter('Bytes received from peers'),
  starling_flights: gauge('Blobs in flight, by the part of this node in them', 'role'),
  starling_flights_ended_total: counter('Parts in flights that ended', 'role', 'why'),
  starling_flight_claims_total: counter('Claims of this node for blobs that few or none have', 'verdict'),
  starling_flight_verdicts_total: counter('Claims that this node answered as steward', 'verdict'),
  starling_flight_messages_total: counter('Messages of flights that came in', 'type'),
  starling_flight_bytes_total: counter('Bytes that came from nodes that were still downloading them'),
  starling_flight_given_bytes_total: counter(
    'Bytes of downloads that peers got while they came: from memory as they passed, or from the file of the client',
    'from',
  ),
  starling_integrity_served_total: counter('Answers from local content, by how they were checked', 'check'),
  starling_integrity_received_total: counter('Transfers from peers, by how they were checked', 'check'),
  starling_integrity_hashed_total: counter('Blobs hashed in the background', 'kind', 'outcome'),
  starling_integrity_hashed_bytes_total: counter('Bytes hashed in the background', 'kind'),
  starling_integrity_damaged_total: counter('Blobs of this node that turned out to be damaged'),
  starling_integrity_withheld_blobs: gauge('Damaged blobs that are not offered'),
  starling_integrity_round_started_seconds: gauge('When the last round over all blobs began, since 1970'),
  starling_quarantined_peers: gauge('Peers in quarantine, because they sent wrong bytes'),
  starling_quarantined_peer: gauge('1 for a peer in quarantine, 0 for one that was', 'peer'),
  starling_quarantined_by_peers: gauge('Peers that say that they have put this node into quarantine'),
  starling_quarantines_total: counter('Times that a peer was put into quarantine', 'evidence'),
  starling_quarantine_releases_total: counter('Times that a peer came out of quarantine', 'by'),
  starling_quarantine_notices_total: counter('What peers said of this node and their quarantine', 'kind'),
  starling_registry_connections_dropped_total: counter('Connections refused by registry.maxConnections'),
  starling_registry_connections_refused_total: counter(
    'Connections that came too fast from a host, or from strangers together',
    'reason',
  ),
  starling_registry_handshakes_refused_total: counter('TLS handshakes that the registry refused', 'reason'),
  starling_registry_malformed_requests_total: counter('Connections that sent no usable HTTP'),
  starling_registry_worker_heap_bytes: gauge('Used heap of a thread of the registry', 'worker'),
  starling_registry_worker_external_bytes: gauge(
    'Memory outside the heap of a thread of the registry',
    'worker',
  ),
  starling_registry_requests_in_flight: gauge(
    'Requests that a thread of the registry is answering',
    'worker',
  ),
  starling_registry_workers_replaced_total: counter('Threads of the registry that ended and were replaced'),

  starling_event_loop_delay_seconds: gauge(
    'How late the main thread comes to its timers, since the metrics were last read; begins with the first reading',
    'quantile',
  ),
}
