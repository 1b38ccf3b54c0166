import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { formatSize } from '../../lib/core/units.ts'
import { skipWithout } from '../support/requirements.ts'
import { measureImport } from './import-memory.ts'

const boundBytes = 256 * 2 ** 20

describe('the memory of a node that imports an archive', { skip: skipWithout('zstd') }, () => {
  it('stays within 256 MiB for one that is nearly as large', async (test) => {
    const peak = await measureImport({ sizeBytes: 200 * 2 ** 20, ending: '.zst', timeoutMs: 60_000 })
    assert.ok(peak.archiveBytes >= 200 * 2 ** 20)
    test.diagnostic(
      `${formatSize(peak.peakRssBytes)} at most, ${formatSize(Math.round(peak.bytesPerSecond))}/s`,
    )
    assert.ok(peak.peakRssBytes <= boundBytes, formatSize(peak.peakRssBytes))
  })
})
