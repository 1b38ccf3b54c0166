import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createMetrics } from '../../lib/ops/metrics.ts'
import { eventually } from '../support/eventually.ts'

const metric = /^starling_event_loop_delay_seconds\{quantile="max"\} (\S+)$/m

function block(durationMs: number): void {
  const endMs = performance.now() + durationMs
  while (performance.now() < endMs);
}

describe('the delay of the event loop', () => {
  it('is measured from the first reading on, and each reading tells of the time since the last', async () => {
    const { text } = createMetrics({ strict: true })
    const read = async () => Number(metric.exec(await text())?.[1] ?? Number.NaN)
    assert(Number.isNaN(await read()), 'nothing was measured before anybody asked')
    await eventually(async () => (await read()) >= 0)
    // A reading begins anew at the next look at the clock, so reading and blocking take turns.
    let reads = false
    const delay = await eventually(async () => {
      reads = !reads
      if (!reads) {
        block(150)
        return undefined
      }
      const seconds = await read()
      return seconds > 0.1 ? seconds : undefined
    })
    assert(delay < 60, String(delay))
    await eventually(async () => (await read()) < 0.1)
  })
})
