import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { lockDataDir } from '../../lib/app/data-dir.ts'
import { StarlingError } from '../../lib/core/errors.ts'

const isLocked = (error: unknown) => error instanceof StarlingError && error.code === 'DATA_DIR_LOCKED'

describe('data directory', () => {
  let dir = ''
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'starling-data-'))
  })
  afterEach(() => rm(dir, { recursive: true, force: true }))

  it('is refused to a second node until the first one lets go', async () => {
    const lock = await lockDataDir(dir)
    await assert.rejects(lockDataDir(dir), isLocked)
    await lock.release()
    const again = await lockDataDir(dir)
    await again.release()
  })

  it('goes to exactly one of several nodes that start together', async () => {
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => lockDataDir(dir)))
    assert.equal(results.filter((result) => result.status === 'fulfilled').length, 1)
  })

  it('is taken over from a node that was killed', async () => {
    const moduleUrl = new URL('../../lib/app/data-dir.ts', import.meta.url).href
    const script = `const { lockDataDir } = await import(${JSON.stringify(moduleUrl)})
      await lockDataDir(${JSON.stringify(dir)}); console.log('locked'); setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    await assert.rejects(lockDataDir(dir), isLocked)
    child.kill('SIGKILL')
    await once(child, 'exit')
    const lock = await lockDataDir(dir)
    await lock.release()
  })

  it('is taken over where the lock file is damaged', async () => {
    for (const text of ['', '{', 'null', '{"pid":1}', '\0'.repeat(100)]) {
      await writeFile(join(dir, 'lock'), text)
      const lock = await lockDataDir(dir)
      await lock.release()
    }
    assert.deepEqual(await readdir(dir), [])
  })

  it('says what to do where the path is a file', async () => {
    const file = join(dir, 'file')
    await writeFile(file, '')
    await assert.rejects(lockDataDir(file), (error) => {
      assert.ok(error instanceof StarlingError)
      assert.match(error.format(), /cannot be used.*set dataDir/)
      return true
    })
  })
})
