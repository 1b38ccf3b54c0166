import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { runToEnd } from '../support/processes.ts'
import { projectDir } from '../support/project.ts'
import { skipWithout } from '../support/requirements.ts'
import { tempFolder } from '../support/temp-folder.ts'

describe('the systemd unit', { skip: skipWithout('systemd-analyze') }, () => {
  it('is accepted by systemd without a word', async () => {
    await using folder = await tempFolder('unit')
    const text = await readFile(join(projectDir, 'deploy', 'starling.service'), 'utf8')
    const unit = join(folder.path, 'starling.service')
    // The program is installed by the operator; here this Node stands for it.
    await writeFile(unit, text.replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`))
    const { code, stdout, stderr } = await runToEnd('systemd-analyze', ['verify', '--man=no', unit])
    assert.equal(code, 0, stderr)
    assert.equal(`${stdout}${stderr}`.trim(), '')
  })
})
