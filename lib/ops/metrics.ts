import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Logger, MetricName, Metrics } from '../core/ports.ts'
import { EventLoopDelay } from './event-loop-delay.ts'
import { createFamiliarMetrics, type FamiliarMetrics } from './familiar-metrics.ts'
import { type MetricSpec, metricTable } from './metric-table.ts'
import { registerProcessMetrics } from './process-metrics.ts'

type Labels = Readonly<Record<string, string>>

/** Most combinations of labels that one metric keeps; what comes later is counted under `other`. */
const maxSeries = 500

export interface MetricsOptions {
  /** Told once for each name that is used wrongly; nothing is thrown then. */
  readonly log?: Logger
  /** Throws instead: for tests. */
  readonly strict?: boolean
  /** The names that dashboards made for Spegel read, too; this is the clock for them. */
  readonly familiar?: (() => number) | undefined
  readonly table?: Readonly<Record<string, MetricSpec>>
}

/** The metrics of a node and their text in the Prometheus format, version 0.0.4. */
export interface NodeMetrics {
  readonly metrics: Metrics
  /** Undefined where they are not wanted. */
  readonly familiar: FamiliarMetrics | undefined
  text(): Promise<string>
}

interface Entry {
  readonly spec: MetricSpec
  readonly series: Set<string>
  record(value: number, labels: Labels): void
}

function createEntry(name: string, spec: MetricSpec, registry: Registry): Entry {
  const base = { name, help: spec.help, labelNames: [...spec.labels], registers: [registry] }
  const series = new Set<string>()
  if (spec.type === 'counter') {
    const counter = new Counter(base)
    return { spec, series, record: (value, labels) => counter.inc(labels, value) }
  }
  if (spec.type === 'gauge') {
    const gauge = new Gauge(base)
    return { spec, series, record: (value, labels) => gauge.set(labels, value) }
  }
  const histogram = new Histogram({ ...base, buckets: [...(spec.buckets ?? [])] })
  return { spec, series, record: (value, labels) => histogram.observe(labels, value) }
}

/** Makes the metrics of the table, and those of the process. */
export function createMetrics(options: MetricsOptions = {}): NodeMetrics {
  const registry = new Registry()
  const entries = new Map<string, Entry>()
  const complained = new Set<string>()
  for (const [name, spec] of Object.entries(options.table ?? metricTable)) {
    entries.set(name, createEntry(name, spec, registry))
  }
  registerProcessMetrics(registry)

  function misuse(name: string, problem: string): void {
    if (options.strict === true) throw new Error(`metric ${name}: ${problem}`)
    if (complained.has(name) || complained.size > maxSeries) return
    complained.add(name)
    options.log?.error({ metric: name, problem }, 'a metric is used wrongly and was left out')
  }

  function record(name: MetricName, type: MetricSpec['type'], value: number, labels: Labels): void {
    const entry = entries.get(name)
    const problem =
      entry === undefined ? 'it is not in the table' : problemOf(entry.spec, type, value, labels)
    if (entry === undefined || problem !== undefined) misuse(name, problem ?? '')
    else entry.record(value, bounded(entry, labels))
  }

  const metrics: Metrics = {
    count: (name, labels = {}, amount = 1) => record(name, 'counter', amount, labels),
    observe: (name, value, labels = {}) => record(name, 'histogram', value, labels),
    set: (name, value, labels = {}) => record(name, 'gauge', value, labels),
  }
  const eventLoopDelay = entries.has('starling_event_loop_delay_seconds') ? new EventLoopDelay() : undefined
  const familiar =
    options.familiar === undefined ? undefined : createFamiliarMetrics(metrics, registry, options.familiar)
  return {
    metrics: familiar?.metrics ?? metrics,
    familiar,
    text() {
      eventLoopDelay?.report(metrics)
      return registry.metrics()
    },
  }
}

function problemOf(
  spec: MetricSpec,
  type: MetricSpec['type'],
  value: number,
  labels: Labels,
): string | undefined {
  if (spec.type !== type) return `it is a ${spec.type}, not a ${type}`
  const names = Object.keys(labels)
  if (names.length !== spec.labels.length || names.some((label) => !spec.labels.includes(label))) {
    return `its labels are (${spec.labels}), not (${names})`
  }
  return Number.isFinite(value) && (type !== 'counter' || value >= 0)
    ? undefined
    : `${value} cannot be recorded`
}

/** The same labels, or `other` for each where there are too many already: names from peers must not fill the memory. */
function bounded(entry: Entry, labels: Labels): Labels {
  if (entry.spec.labels.length === 0) return labels
  const key = JSON.stringify(entry.spec.labels.map((label) => labels[label]))
  if (entry.series.has(key)) return labels
  if (entry.series.size < maxSeries) {
    entry.series.add(key)
    return labels
  }
  return Object.fromEntries(entry.spec.labels.map((label) => [label, 'other']))
}
