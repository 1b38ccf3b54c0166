import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { formatSize } from '../../lib/core/units.ts'
import { measureImport } from '../integration/import-memory.ts'
import { containerdAvailable, startContainerd } from '../support/containerd.ts'
import { skipWithout } from '../support/requirements.ts'

const boundBytes = 256 * 2 ** 20
const sizeBytes = 2 * 2 ** 30
const timeoutMs = 600_000

describe('a node that imports an archive of 2 GiB', { skip: skipWithout('zstd') }, () => {
  for (const ending of ['', '.zst'] as const) {
    it(`.tar${ending} into an image layout stays within 256 MiB`, { timeout: timeoutMs }, async (test) => {
      const peak = await measureImport({ sizeBytes, ending, timeoutMs })
      test.diagnostic(
        `${formatSize(peak.peakRssBytes)} at most, ${formatSize(Math.round(peak.bytesPerSecond))}/s`,
      )
      assert.ok(peak.peakRssBytes <= boundBytes, formatSize(peak.peakRssBytes))
    })
  }

  it('.tar into containerd stays within 256 MiB', {
    skip: containerdAvailable() ?? false,
    timeout: timeoutMs,
  }, async (test) => {
    await using undo = new AsyncDisposableStack()
    const peak = await measureImport({
      sizeBytes,
      ending: '',
      timeoutMs,
      async store(dir) {
        const containerd = await startContainerd({ dir: join(dir, 'cd') })
        undo.defer(() => containerd.kill())
        return { type: 'containerd', socket: containerd.socket }
      },
    })
    test.diagnostic(
      `${formatSize(peak.peakRssBytes)} at most, ${formatSize(Math.round(peak.bytesPerSecond))}/s`,
    )
    assert.ok(peak.peakRssBytes <= boundBytes, formatSize(peak.peakRssBytes))
  })
})
