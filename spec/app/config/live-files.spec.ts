import assert from 'node:assert/strict'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { createLiveFiles, type LiveFiles } from '../../../lib/app/config/live-files.ts'
import { parseConfig } from '../../../lib/config/config-file.ts'
import type { SettingsSet } from '../../../lib/core/settings.ts'
import { eventually } from '../../support/eventually.ts'
import { recordingLog, recordingMetrics } from '../../support/fake-cluster.ts'

describe('settings of registries.yaml', () => {
  let dir = ''
  let file = ''
  let settings: LiveFiles
  const log = recordingLog()
  const metrics = recordingMetrics()
  const heard: SettingsSet[] = []

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'starling-mirrors-'))
    file = join(dir, 'registries.yaml')
    heard.length = 0
    settings = createLiveFiles({
      config: parseConfig('registries: registries.yaml', 'c.yaml', { hostname: 'h', folder: dir }),
      log,
      metrics,
    })
    settings.subscribe((next) => void heard.push(next))
  })
  afterEach(async () => {
    await settings.stop()
    await rm(dir, { recursive: true, force: true })
  })

  async function put(text: string): Promise<void> {
    await writeFile(`${file}.new`, text)
    await rename(`${file}.new`, file)
  }

  it('mirror nothing while there is no file, and change when it comes', async () => {
    await settings.start()
    assert.deepEqual(settings.current().mirrors, { names: [], wildcard: false })
    await put('mirrors:\n  docker.io:\n')
    await eventually(() => heard.length === 1)
    assert.deepEqual(settings.current().mirrors.names, ['docker.io'])
  })

  it('go on without what cannot be used, and say where that stands', async () => {
    await put('mirrors:\n  docker.io:\n    endpoint: ["http://a.test:99999"]\n    rewrite: {"(": "x"}\n')
    await settings.start()
    assert.deepEqual(settings.current().mirrors.names, ['docker.io'])
    const [endpoint, rewrite] = settings.warnings()
    assert.match(endpoint ?? '', /registries\.yaml:3:\d+: the endpoint .*is left out/)
    assert.match(rewrite ?? '', /registries\.yaml:4:\d+: the rewrite "\(" is left out/)
    await put('mirrors:\n  docker.io:\n')
    await eventually(() => settings.warnings().length === 0)
  })

  it('stay as they were while the file is bad, which is said in status, log and metric', async () => {
    await put('mirrors:\n  docker.io:\n')
    await settings.start()
    await put('mirrors: [\n')
    const problem = await eventually(() => settings.problem())
    assert.match(problem, /registries\.yaml:\d+:\d+: /)
    assert.deepEqual(settings.current().mirrors.names, ['docker.io'])
    assert.ok(log.lines.some((line) => line.level === 'error'))
    assert.ok((metrics.counts.get('starling_reload_failures_total') ?? 0) > 0)
    await put('mirrors:\n  docker.io:\n  quay.io:\n')
    await eventually(() => settings.problem() === undefined)
    assert.deepEqual(settings.current().mirrors.names, ['docker.io', 'quay.io'])
  })

  it('refuse to start from a bad file', async () => {
    await put('mirrors: 5\n')
    await assert.rejects(settings.start(), { code: 'REGISTRIES_INVALID' })
  })

  it('tell nobody when the file was only touched', async () => {
    await put('mirrors:\n  docker.io:\n')
    await settings.start()
    await put('mirrors:\n  docker.io: {}\n# a comment\n')
    await put('mirrors:\n  docker.io: {}\n  quay.io:\n')
    await eventually(() => heard.length > 0)
    assert.deepEqual(
      heard.map((set) => set.mirrors.names.length),
      [2],
    )
  })
})
