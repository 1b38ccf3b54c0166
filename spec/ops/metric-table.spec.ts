import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { metricTable } from '../../lib/ops/metric-table.ts'
import { metricCalls, metricNames } from './metric-calls.ts'

const calls = metricCalls()
const table = new Map(Object.entries(metricTable))

describe('the table of metrics', () => {
  it('is held against a source that counts something', () => assert(calls.length > 20))

  it('has every metric that the source names, and no other', () => {
    assert.deepEqual([...metricNames()].sort(), [...table.keys()].sort())
  })

  it('has the type that each call expects', () => {
    for (const { file, name, type } of calls) assert.equal(table.get(name)?.type, type, `${name} in ${file}`)
  })

  it('has the labels that each call gives', () => {
    for (const { file, name, labels } of calls) {
      if (labels === undefined) continue
      assert.deepEqual([...labels].sort(), [...(table.get(name)?.labels ?? [])].sort(), `${name} in ${file}`)
    }
  })

  it('explains each metric, and names counters and durations as Prometheus wants it', () => {
    for (const [name, { type, help, buckets }] of table) {
      assert(help.length > 10 && !help.endsWith('.'), name)
      assert.equal(name.endsWith('_total'), type === 'counter', name)
      assert.equal(buckets !== undefined, type === 'histogram', name)
    }
  })
})
