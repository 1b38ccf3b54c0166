import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { tempFolder } from '../temp-folder.ts'
import { type FileResult, runFile } from './run-file.ts'
import { describeFailures, printSummary } from './summary.ts'

async function runSource(source: string, timeoutMs = 20_000): Promise<FileResult> {
  await using folder = await tempFolder('runner')
  const file = join(folder.path, 'sample.spec.ts')
  await writeFile(file, `import { test, describe, before } from 'node:test'\n${source}`)
  return await runFile(file, timeoutMs)
}

const summaryOf = (file: FileResult) => {
  let printed = ''
  const totals = printSummary([{ name: 'x', durationMs: 0, files: [file], problem: undefined }], (text) => {
    printed += `${text}\n`
  })
  return { totals, printed }
}

describe('the test runner', { concurrency: true }, () => {
  it('counts passed, failed and skipped tests once each, whatever they are nested in', async () => {
    const file = await runSource(`
      describe('outer', () => {
        test('good', () => {})
        test('bad', () => { throw new Error('this is why') })
        test('other', { skip: 'no moon' }, () => {})
      })`)
    const { totals, printed } = summaryOf(file)
    assert.deepEqual(totals, { passed: 1, failed: 1, skipped: 1 })
    assert.match(printed, /outer › other \(no moon\)/)
    assert.match(printed, /\n1 passed, 1 failed, 1 skipped\n$/)
    assert.match(describeFailures(file), /outer › bad\n +Error: this is why/)
  })

  it('fails a file whose hook throws', async () => {
    const file = await runSource(`
      describe('outer', () => { before(() => { throw new Error('hook') }); test('never', () => {}) })`)
    assert.ok(summaryOf(file).totals.failed > 0)
    assert.match(describeFailures(file), /hook/)
  })

  it('fails a file that hangs, and ends it', async () => {
    const file = await runSource(`setInterval(() => {}, 1000); test('quick', () => {})`, 1500)
    assert.match(file.problem ?? '', /did not end within/)
    assert.ok(file.durationMs < 15_000)
    assert.equal(summaryOf(file).totals.failed, 1)
  })

  it('fails a file that has no test', async () => {
    const file = await runSource('')
    assert.match(file.problem ?? '', /ran no test/)
  })

  it('fails a file that crashes after its tests', async () => {
    const file = await runSource(`test('fine', () => {}); process.on('exit', () => { process.exitCode = 7 })`)
    assert.match(file.problem ?? '', /exit code 7/)
  })
})
