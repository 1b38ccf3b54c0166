import assert from 'node:assert/strict'
import { mkdir, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { createImagesFolder } from '../../../lib/app/import/images-folder.ts'
import { openWriter } from '../../../lib/app/import/writer.ts'
import { parseConfig } from '../../../lib/config/config-file.ts'
import type { NodeConfig } from '../../../lib/core/config.ts'
import { systemClock } from '../../registry/harness.ts'
import { eventually } from '../../support/eventually.ts'
import { recordingLog, recordingMetrics } from '../../support/fake-cluster.ts'
import { writeOciArchive } from '../../support/oci-files.ts'
import { buildImage } from '../../support/oci-image.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const waits = { timeoutMs: 30_000, intervalMs: 100 }

async function archive(dir: string, name: string): Promise<void> {
  await mkdir(dir, { recursive: true })
  const file = join(dir, `${name}.tar`)
  const image = await buildImage({ seed: name, layers: [{ sizeBytes: 1000 }] })
  await writeOciArchive(file, [{ name: `folder.test/${name}:1`, image }])
  // Old enough to be whole.
  await utimes(file, new Date(0), new Date(0))
}

async function imagesOf(store: NodeConfig['store']): Promise<string[]> {
  const writer = await openWriter(store)
  try {
    return (await writer.images()).map(({ name }) => name).filter((name) => !name.includes('@'))
  } finally {
    await writer.close()
  }
}

test('the images folder follows the configuration: another store is given all of it, another folder is read', async () => {
  await using temp = await tempFolder('images')
  const dir = temp.path
  const read = (store: string, folder: string) =>
    parseConfig(
      `{dataDir: ${join(dir, 'data')}, store: {type: oci-layout, path: ${join(dir, store)}}, images: {dir: ${join(dir, folder)}}}`,
      'c.yaml',
      { hostname: 'h', folder: dir },
    )
  await mkdir(join(dir, 'data'))
  await archive(join(dir, 'one'), 'first')
  await archive(join(dir, 'two'), 'second')
  let config = read('a', 'one')
  const folder = createImagesFolder({
    config: () => config,
    clock: systemClock,
    log: recordingLog(),
    metrics: recordingMetrics(),
    offered: () => false,
  })
  await folder.start()
  try {
    const holds = (names: readonly string[]) => async () => {
      assert.deepEqual(
        (await imagesOf(config.store)).sort(),
        names.map((name) => `folder.test/${name}:1`),
      )
      return true
    }
    await eventually(holds(['first']), waits)
    config = read('b', 'one')
    await eventually(holds(['first']), waits)
    config = read('b', 'two')
    await eventually(holds(['first', 'second']), waits)
    await eventually(() => folder.view().files.length === 1, waits)
    assert.deepEqual([folder.view().folder, folder.view().problem], [join(dir, 'two'), undefined])
  } finally {
    await folder.stop()
  }
})
