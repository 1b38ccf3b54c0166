import assert from 'node:assert/strict'
import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { parseReferenceList, readReferenceList } from '../../../lib/app/import/reference-list.ts'
import { StarlingError } from '../../../lib/core/errors.ts'
import { runOrFail } from '../../support/processes.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const digest = `sha256:${'ab'.repeat(32)}`

const refused = (pattern: RegExp) => (error: unknown) =>
  error instanceof StarlingError && error.code === 'REFERENCE_INVALID' && pattern.test(error.format())

describe('a list of references', () => {
  for (const [title, text, names] of [
    ['is empty', '', []],
    ['has comments and empty lines', '# all\n\n  r.test/a:1  \n', ['r.test/a:1']],
    ['comes from Windows', '\ufeffr.test/a:1\r\nr.test/b:2\r\n', ['r.test/a:1', 'r.test/b:2']],
    ['has short names', 'alpine\nme/tool:3', ['docker.io/library/alpine:latest', 'docker.io/me/tool:3']],
    ['names an image twice', 'alpine:3\ndocker.io/library/alpine:3', ['docker.io/library/alpine:3']],
    ['has digests', `r.test:5000/a@${digest}`, [`r.test:5000/a@${digest}`]],
  ] as const) {
    it(`that ${title} is read`, () => assert.deepEqual(parseReferenceList(text, 'l.txt'), names))
  }

  it('with a line that is no reference is refused by its line', () => {
    assert.throws(
      () => parseReferenceList('r.test/a:1\nno such thing\n', 'l.txt'),
      refused(/^l\.txt:2: "no such thing"/),
    )
    assert.throws(
      () => parseReferenceList(`r.test/a:1\u0000`, 'l.txt'),
      refused(/^l\.txt:1: .*no image reference/),
    )
  })

  it('that is too long, too large, no text or not there is refused in one line', async () => {
    const many = Array.from({ length: 10_001 }, (_, index) => `r.test/a:${index}`).join('\n')
    assert.throws(() => parseReferenceList(many, 'l.txt'), refused(/more than 10000 references/))
    await using folder = await tempFolder('rl')
    const file = join(folder.path, 'l.txt')
    await assert.rejects(readReferenceList(file), refused(/no such file/))
    await writeFile(file, Buffer.from('ffd8ffe000104a464946', 'hex'))
    await assert.rejects(readReferenceList(file), refused(/is no text/))
    await truncate(file, 2 ** 20 + 1)
    await assert.rejects(readReferenceList(file), refused(/larger than 1 MiB/))
    await assert.rejects(readReferenceList(folder.path), refused(/not a plain file/))
    const pipe = join(folder.path, 'p.txt')
    await runOrFail('mkfifo', [pipe])
    await assert.rejects(readReferenceList(pipe), refused(/not a plain file/))
  })
})
