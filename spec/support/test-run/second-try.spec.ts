import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { FileResult } from './run-file.ts'
import { giveSecondTries } from './second-try.ts'

const resultOf = (file: string, outcome: 'passed' | 'failed'): FileResult => ({
  file,
  results: [{ path: ['a test'], outcome, line: 1, detail: '', durationMs: 1 }],
  durationMs: 1,
  problem: undefined,
  output: '',
})

describe('second tries of spec files', () => {
  it('runs nothing again where nothing failed', async () => {
    const results = [resultOf('a', 'passed')]
    const outcome = await giveSecondTries(results, 2, () => assert.fail('nothing to run'))
    assert.deepEqual(outcome, { results, unsteady: [], tries: 0 })
  })

  it('names a file that passes alone as unsteady, and counts its second results', async () => {
    const outcome = await giveSecondTries(
      [resultOf('a', 'failed'), resultOf('b', 'passed')],
      2,
      async (file) => resultOf(file, 'passed'),
    )
    assert.deepEqual(
      outcome.results.map(({ file, results }) => [file, results[0]?.outcome]),
      [
        ['a', 'passed'],
        ['b', 'passed'],
      ],
    )
    assert.deepEqual(
      outcome.unsteady.map(({ file }) => file),
      ['a'],
    )
    assert.match(outcome.unsteady[0]?.failures ?? '', /✗ a:1/)
    assert.equal(outcome.tries, 1)
  })

  it('leaves a file failed that fails again', async () => {
    const outcome = await giveSecondTries([resultOf('a', 'failed')], 2, async (file) =>
      resultOf(file, 'failed'),
    )
    assert.equal(outcome.results[0]?.results[0]?.outcome, 'failed')
    assert.deepEqual([outcome.unsteady, outcome.tries], [[], 1])
  })

  it('gives nobody a second try where more failed than an accident explains', async () => {
    const results = [resultOf('a', 'failed'), resultOf('b', 'failed'), resultOf('c', 'failed')]
    const outcome = await giveSecondTries(results, 2, () => assert.fail('too many failed'))
    assert.deepEqual(outcome, { results, unsteady: [], tries: 0 })
  })
})
