import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { replaceFile } from '../../lib/app/replace-file.ts'
import { tempFolder } from '../support/temp-folder.ts'

describe('replacing a file', () => {
  it('puts the new content in its place, for its owner alone, also over what a crash has left', async () => {
    await using folder = await tempFolder('replace')
    const path = join(folder.path, 'file')
    await writeFile(path, 'old', { mode: 0o644 })
    await writeFile(`${path}.new`, 'half', { mode: 0o666 })
    await replaceFile(path, 'new')
    assert.equal(await readFile(path, 'utf8'), 'new')
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    assert.deepEqual(await readdir(folder.path), ['file'])
  })

  it('leaves everything as it was where the name is taken by a folder', async () => {
    await using folder = await tempFolder('replace')
    const path = join(folder.path, 'file')
    await mkdir(join(path, 'inside'), { recursive: true })
    await assert.rejects(replaceFile(path, 'new'), { code: 'EISDIR' })
    assert.deepEqual(await readdir(folder.path), ['file'])
  })
})
