import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { nodeFlags, nodeVariables, projectDir } from '../support/project.ts'

const flagsIn = (file: string, line: RegExp): readonly string[] => {
  const [found = ''] = line.exec(readFileSync(join(projectDir, file), 'utf8')) ?? []
  return (found.match(/--[a-z-]+=\w+/g) ?? []).filter((flag) => !flag.startsWith('--config'))
}

test('the command, the systemd unit, the image and the tests start Node with the same flags', () => {
  const flags = nodeFlags()
  assert.ok(flags.some((flag) => flag.startsWith('--max-semi-space-size=')))
  assert.deepEqual(flagsIn('deploy/starling.service', /^ExecStart=.*$/m), flags)
  assert.deepEqual(flagsIn('Dockerfile', /^ENTRYPOINT .*$/m), flags)
})

test('the command, the systemd unit and the image give the C library the same settings', () => {
  const variables = nodeVariables()
  assert.ok(variables.some((variable) => variable.startsWith('MALLOC_ARENA_MAX=')))
  for (const [file, line] of [
    ['deploy/starling.service', /^Environment=.*$/m],
    ['Dockerfile', /^ENV NODE_ENV=.*$/m],
  ] as const) {
    const [found = ''] = line.exec(readFileSync(join(projectDir, file), 'utf8')) ?? []
    assert.deepEqual(found.match(/MALLOC_[A-Z_]+=\w+/g), variables, file)
  }
})
