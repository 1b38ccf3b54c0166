import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judgePace, type Pace, type PaceVerdict } from '../../lib/selection/pace.ts'

const MiB = 2 ** 20
/** 100 MiB in a second, and a byte a moment ago. */
const fast: Pace = { ageMs: 1000, opened: true, bytes: 100 * MiB, readMs: 1000, quietMs: 1 }

interface Row {
  readonly what: string
  readonly pace: Partial<Pace>
  /** Bytes per millisecond. */
  readonly siblingRate?: number
  readonly verdict: PaceVerdict
}

const rows: readonly Row[] = [
  { what: 'one that brings bytes', pace: {}, verdict: 'fine' },
  { what: 'a fast one that is silent for a quarter of a second', pace: { quietMs: 250 }, verdict: 'late' },
  { what: 'a fast one that is silent for less', pace: { quietMs: 249 }, verdict: 'fine' },
  {
    what: 'a slower one whose bytes come in gaps',
    pace: { bytes: 4 * MiB, quietMs: 400 },
    verdict: 'fine',
  },
  { what: 'a slower one that is silent for long', pace: { bytes: 4 * MiB, quietMs: 600 }, verdict: 'late' },
  { what: 'one without a byte for the stall timeout', pace: { quietMs: 2000 }, verdict: 'stalled' },
  {
    what: 'one without a byte since its answer began',
    pace: { bytes: 0, readMs: 2000, quietMs: 2000 },
    verdict: 'stalled',
  },
  { what: 'one that does not answer', pace: { opened: false, ageMs: 500 }, verdict: 'late' },
  { what: 'one that has not answered yet', pace: { opened: false, ageMs: 499 }, verdict: 'fine' },
  { what: 'one far below its siblings', pace: { bytes: 10 * MiB }, siblingRate: 100_000, verdict: 'late' },
  {
    what: 'one somewhat below its siblings',
    pace: { bytes: 20 * MiB },
    siblingRate: 100_000,
    verdict: 'fine',
  },
  {
    what: 'one far below its siblings that has only begun',
    pace: { bytes: 100_000, readMs: 100 },
    siblingRate: 100_000,
    verdict: 'fine',
  },
  { what: 'one that crawls, and has no sibling', pace: { bytes: 60_000 }, verdict: 'late' },
]

for (const { what, pace, siblingRate = 0, verdict } of rows) {
  test(`${what} is ${verdict}`, () => {
    assert.equal(judgePace({ ...fast, ...pace }, { stallTimeoutMs: 2000, siblingRate }), verdict)
  })
}

test('with a shorter stall timeout everything is judged sooner', () => {
  const context = { stallTimeoutMs: 200, siblingRate: 0 }
  assert.equal(judgePace({ ...fast, quietMs: 100 }, context), 'late')
  assert.equal(judgePace({ ...fast, quietMs: 200 }, context), 'stalled')
})
