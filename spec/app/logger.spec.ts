import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, it } from 'node:test'

const logger = new URL('../../lib/app/logger.ts', import.meta.url).href

function linesOf(program: string): Record<string, unknown>[] {
  const source = `import { createLogger } from ${JSON.stringify(logger)}\n${program}`
  const run = spawnSync(process.execPath, ['--input-type=module', '--eval', source], { encoding: 'utf8' })
  assert.equal(run.stdout, '')
  return run.stderr
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
}

describe('the logger', () => {
  it('writes lines of JSON with level, time and fields to standard error', () => {
    const lines = linesOf("createLogger({ level: 'info' }).warn({ peer: 'a' }, 'hello')")
    const [line] = lines
    assert.equal(lines.length, 1)
    assert.match(String(line?.time), /^\d{4}-\d\d-\d\dT/)
    assert.deepEqual({ ...line, time: '' }, { level: 'warn', time: '', peer: 'a', msg: 'hello' })
  })

  it('leaves out what is below its level', () => {
    const lines = linesOf("const l = createLogger({ level: 'warn' }); l.info({}, 'no'); l.error({}, 'yes')")
    assert.deepEqual(
      lines.map((line) => line.msg),
      ['yes'],
    )
  })

  it('gives the fields of a child to each of its lines, secrets hidden', () => {
    const [line] = linesOf(
      "createLogger({ level: 'info' }).child({ part: 'x', token: 't' }).info({ a: 1 }, 'm')",
    )
    assert.deepEqual([line?.part, line?.token, line?.a], ['x', '[hidden]', 1])
  })

  it('loses no line when the process exits right after it', () => {
    const lines = linesOf(
      "const l = createLogger({ level: 'info' }); for (let i = 0; i < 500; i++) l.info({ i }, 'm'); process.exit(0)",
    )
    assert.deepEqual(
      lines.map((line) => line.i),
      Array.from({ length: 500 }, (_, index) => index),
    )
  })
})
