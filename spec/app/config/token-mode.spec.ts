import assert from 'node:assert/strict'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { readConfig } from '../../../lib/app/config/config-files.ts'
import { readJoinToken } from '../../../lib/app/supervisor/token-file.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const secret = `abcdef.${'a'.repeat(40)}`

it('a token is read only from a file that nobody else can read', async () => {
  await using folder = await tempFolder('tm')
  const config = join(folder.path, 'config.yaml')
  const file = join(folder.path, 'token')
  await writeFile(config, `server: https://a:9345\ntoken: ${secret}\n`)
  await chmod(config, 0o644)
  await assert.rejects(readConfig(config), { code: 'CONFIG_INVALID', message: /holds a token/ })
  await chmod(config, 0o600)
  assert.equal((await readConfig(config)).join?.token, secret)

  const join1 = { server: 'https://a:9345', token: undefined, tokenFile: file }
  await assert.rejects(readJoinToken(join1), { code: 'TOKEN_INVALID', message: /does not exist/ })
  await writeFile(file, `${secret}\n`)
  await chmod(file, 0o640)
  await assert.rejects(readJoinToken(join1), { code: 'TOKEN_INVALID', message: /0640/ })
  await chmod(file, 0o600)
  assert.equal((await readJoinToken(join1))?.id, 'abcdef')
  await writeFile(file, 'garbage')
  await assert.rejects(readJoinToken(join1), { code: 'TOKEN_INVALID', message: /malformed/ })
  assert.equal(await readJoinToken({ ...join1, tokenFile: undefined }), undefined)
})
