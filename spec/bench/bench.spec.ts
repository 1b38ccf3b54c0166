import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, it } from 'node:test'
import { runToEnd } from '../support/processes.ts'
import { projectDir } from '../support/project.ts'

const main = join(import.meta.dirname, 'main.ts')
const bench = (...args: string[]) => runToEnd(process.execPath, [main, ...args], { cwd: projectDir })

describe('npm run bench', () => {
  it('lists every benchmark in its folder', async () => {
    const { code, stdout } = await bench('--list')
    assert.equal(code, 0)
    const listed = stdout
      .trimEnd()
      .split('\n')
      .slice(1)
      .map((line) => line.split(' ')[0] ?? '')
    for (const name of [
      'lookup',
      'seal',
      'propagation',
      'detection',
      'transfer',
      'data-plane',
      'head',
      'idle',
      'revocation',
    ]) {
      assert.ok(listed.includes(name), name)
    }
    assert.equal(new Set(listed).size, listed.length, 'each has a name of its own')
    const files = globSync('*.ts', { cwd: import.meta.dirname }).map((file) => basename(file, '.ts'))
    for (const name of listed) {
      // `flights-killed` is a benchmark of flights.ts.
      assert.ok(
        files.some((file) => name === file || name.startsWith(`${file}-`)),
        name,
      )
    }
  })

  it('runs one benchmark by name and prints a table and JSON', async () => {
    const { code, stdout, stderr } = await bench('seal', '--quick')
    assert.equal(code, 0, stderr)
    const json = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as {
      results: { name: string; rows: [string, number][] }[]
    }
    assert.deepEqual(
      json.results.map(({ name }) => name),
      ['seal'],
    )
    for (const [what, microseconds] of json.results[0]?.rows ?? []) assert(microseconds > 0, what)
    assert.match(stdout, /^seal and sign +\d/m)
  })

  it('says which benchmarks there are when it does not know a name', async () => {
    const { code, stdout } = await bench('sprint')
    assert.equal(code, 2)
    assert.match(stdout, /There is no benchmark sprint/)
    assert.match(stdout, /^detection /m)
  })
})
