import assert from 'node:assert/strict'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { createMirrorsFile, type MirrorsFile } from '../../../lib/app/config/mirrors.ts'
import type { MirrorSet } from '../../../lib/core/cluster.ts'
import { eventually } from '../../support/eventually.ts'
import { recordingLog, recordingMetrics } from '../../support/fake-cluster.ts'

describe('mirrors of registries.yaml', () => {
  let dir = ''
  let file = ''
  let mirrors: MirrorsFile
  const log = recordingLog()
  const metrics = recordingMetrics()
  const heard: MirrorSet[] = []

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'starling-mirrors-'))
    file = join(dir, 'registries.yaml')
    heard.length = 0
    mirrors = createMirrorsFile({ file, log, metrics })
    mirrors.subscribe((next) => void heard.push(next))
  })
  afterEach(async () => {
    await mirrors.stop()
    await rm(dir, { recursive: true, force: true })
  })

  async function put(text: string): Promise<void> {
    await writeFile(`${file}.new`, text)
    await rename(`${file}.new`, file)
  }

  it('are none while there is no file, and appear when it comes', async () => {
    await mirrors.start()
    assert.deepEqual(mirrors.current(), { names: [], wildcard: false })
    await put('mirrors:\n  docker.io:\n')
    await eventually(() => heard.length === 1)
    assert.deepEqual(mirrors.current().names, ['docker.io'])
  })

  it('stay as they were while the file is bad, which is said in status, log and metric', async () => {
    await put('mirrors:\n  docker.io:\n')
    await mirrors.start()
    await put('mirrors: [\n')
    const problem = await eventually(() => mirrors.problem())
    assert.match(problem, /registries\.yaml:\d+:\d+: /)
    assert.deepEqual(mirrors.current().names, ['docker.io'])
    assert.ok(log.lines.some((line) => line.level === 'error'))
    assert.ok((metrics.counts.get('starling_reload_failures_total') ?? 0) > 0)
    await put('mirrors:\n  docker.io:\n  quay.io:\n')
    await eventually(() => mirrors.problem() === undefined)
    assert.deepEqual(mirrors.current().names, ['docker.io', 'quay.io'])
  })

  it('refuse to start from a bad file', async () => {
    await put('mirrors: 5\n')
    await assert.rejects(mirrors.start(), { code: 'REGISTRIES_INVALID' })
  })

  it('tell nobody when the file was only touched', async () => {
    await put('mirrors:\n  docker.io:\n')
    await mirrors.start()
    await put('mirrors:\n  docker.io: {}\n# a comment\n')
    await put('mirrors:\n  docker.io: {}\n  quay.io:\n')
    await eventually(() => heard.length > 0)
    assert.deepEqual(
      heard.map((set) => set.names.length),
      [2],
    )
  })
})
