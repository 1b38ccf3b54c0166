import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { readSharedRegistries } from '../../../lib/app/config/shared-registries.ts'
import { noMemory, writeClusterMemory } from '../../../lib/app/supervisor/cluster-memory.ts'
import { parseConfig } from '../../../lib/config/config-file.ts'
import { tempFolder } from '../../support/temp-folder.ts'

it('commands beside a node mirror nothing while the servers have mirroring off', async () => {
  await using folder = await tempFolder('sr')
  const dataDir = join(folder.path, 'data')
  await mkdir(dataDir)
  await writeFile(join(folder.path, 'registries.yaml'), 'mirrors: {docker.io: {}}')
  const names = async (more: string) => {
    const text = `dataDir: data\nregistries: registries.yaml\n${more}`
    const config = parseConfig(text, join(folder.path, 'c.yaml'), { hostname: 'h' })
    return (await readSharedRegistries(config)).mirrors.names
  }
  const joined = 'server: https://a:9345'
  assert.deepEqual(await names(''), ['docker.io'])
  assert.deepEqual(await names(joined), [])
  await writeClusterMemory(dataDir, { ...noMemory, embeddedRegistry: true })
  assert.deepEqual(await names(joined), ['docker.io'])
  await writeClusterMemory(dataDir, noMemory)
  assert.deepEqual(await names(joined), [])
  assert.deepEqual(await names('trust: files'), ['docker.io'])
})
