import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { MetricSpec } from '../../lib/ops/metric-table.ts'
import { createMetrics } from '../../lib/ops/metrics.ts'
import { recordingLog } from './recording-log.ts'

const table: Record<string, MetricSpec> = {
  starling_a_total: { type: 'counter', help: 'a', labels: ['kind'] },
  starling_b: { type: 'gauge', help: 'b', labels: [] },
  starling_c_seconds: { type: 'histogram', help: 'c', labels: [], buckets: [1, 2] },
}

describe('the metrics of a node', () => {
  it('come out as text for Prometheus', async () => {
    const { metrics, text } = createMetrics({ table, strict: true })
    metrics.count('starling_a_total', { kind: 'x' })
    metrics.count('starling_a_total', { kind: 'x' }, 2)
    metrics.set('starling_b', 5)
    metrics.observe('starling_c_seconds', 1.5)
    const out = await text()
    for (const line of [
      'starling_a_total{kind="x"} 3',
      'starling_b 5',
      'starling_c_seconds_bucket{le="2"} 1',
    ]) {
      assert(out.includes(line), out)
    }
  })

  it('have those of the process with them', async () => {
    const out = await createMetrics().text()
    for (const name of [
      'process_resident_memory_bytes',
      'process_cpu_seconds_total',
      'nodejs_heap_size_used_bytes',
    ]) {
      assert.match(out, new RegExp(`^${name} [0-9.]*[1-9]`, 'm'))
    }
  })

  it('are apart for each node in one process', async () => {
    const one = createMetrics({ table })
    const two = createMetrics({ table })
    one.metrics.set('starling_b', 1)
    assert.match(await two.text(), /^starling_b 0$/m)
  })

  const wrong: readonly (readonly [
    what: string,
    use: (m: ReturnType<typeof createMetrics>['metrics']) => void,
  ])[] = [
    ['a name that is not in the table', (m) => m.count('starling_unknown_total')],
    ['another type', (m) => m.set('starling_a_total', 1, { kind: 'x' })],
    ['a label that is missing', (m) => m.count('starling_a_total')],
    ['a label that is not in the table', (m) => m.set('starling_b', 1, { x: 'y' })],
    ['a value that is no number', (m) => m.set('starling_b', Number.NaN)],
    ['a counter that falls', (m) => m.count('starling_a_total', { kind: 'x' }, -1)],
  ]
  for (const [what, use] of wrong) {
    it(`throw for ${what} in tests, and only log once in production`, () => {
      assert.throws(() => use(createMetrics({ table, strict: true }).metrics), /^Error: metric starling_/)
      const log = recordingLog()
      const { metrics } = createMetrics({ table, log })
      use(metrics)
      use(metrics)
      assert.equal(log.lines.filter((line) => line.includes('a metric is used wrongly')).length, 1)
    })
  }

  it('keep a bounded number of series whatever the labels are', async () => {
    const { metrics, text } = createMetrics({ table })
    for (let index = 0; index < 5000; index += 1) metrics.count('starling_a_total', { kind: `k${index}` })
    const out = await text()
    assert.equal(out.match(/^starling_a_total\{/gm)?.length, 501)
    assert.match(out, /starling_a_total\{kind="other"\} 4500/)
  })
})
