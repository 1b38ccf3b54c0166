import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { StatusView } from '../../lib/core/ops-view.ts'
import { buildPackage } from '../support/build.ts'
import { createCluster } from '../support/cluster.ts'
import { type Outcome, runOrFail, runToEnd } from '../support/processes.ts'
import { projectDir, readPackageFile } from '../support/project.ts'
import { type TempFolder, tempFolder } from '../support/temp-folder.ts'

/** A consumer of the package that is type-checked against its declarations. */
const consumer = `import * as starling from 'starling'\nexport const names: string[] = Object.keys(starling)\n`

describe('the packed package', () => {
  let folder: TempFolder
  let installed: string
  let bin: string
  const npm = (args: readonly string[], cwd: string): Promise<Outcome> =>
    runOrFail('npm', args, { cwd, timeoutMs: 180_000 })

  before(async () => {
    folder = await tempFolder('pack')
    const dist = join(folder.path, 'dist')
    await buildPackage(dist)
    const packed = await npm(['pack', '--json', '--pack-destination', folder.path], dist)
    const [{ filename }] = JSON.parse(packed.stdout) as [{ filename: string }]
    installed = join(folder.path, 'app')
    await mkdir(installed)
    await writeFile(join(installed, 'package.json'), '{ "private": true, "type": "module" }')
    const quiet = ['--ignore-scripts', '--omit=dev', '--no-audit', '--no-fund', '--prefer-offline']
    await npm(['install', ...quiet, join(folder.path, filename)], installed)
    bin = join(installed, 'node_modules', 'starling', 'bin', 'starling.js')
  })
  after(() => folder[Symbol.asyncDispose]())

  it('holds no TypeScript sources, no tests and nothing for developers', async () => {
    const root = join(installed, 'node_modules', 'starling')
    const files = globSync('**/*', { cwd: root, exclude: (path) => path.endsWith('node_modules') })
    assert.deepEqual(
      files.filter((file) => /(?<!\.d)\.ts$|\.spec\.|^spec/.test(file)),
      [],
    )
    assert.ok(files.some((file) => file.endsWith('.proto')))
    const text = await readFile(join(root, 'package.json'), 'utf8')
    assert.doesNotMatch(text, /[dD]ependencies|scripts|node-linux/)
    assert.deepEqual(globSync('node_modules/*', { cwd: installed }), ['node_modules/starling'])
  })

  it('names what it contains, with licences', async () => {
    const text = await readFile(join(installed, 'node_modules', 'starling', 'THIRD-PARTY.txt'), 'utf8')
    const named = [...text.matchAll(/^-{80}\n(.+) \d+\.\d+\.\d+\S* \(.+\)$/gm)].map((match) => match[1])
    for (const name of Object.keys(readPackageFile().dependencies as object)) {
      // What has only types, or is another name of a package.
      if (['@libp2p/interface', '@chainsafe/libp2p-gossipsub'].includes(name)) continue
      assert.ok(named.includes(name), `${name} is missing`)
    }
    assert.match(text, /MIT License/)
  })

  it('prints its help', async () => {
    const help = await runToEnd(process.execPath, [bin, '--help'], { cwd: installed })
    assert.equal(help.code, 0, help.stderr)
    assert.match(help.stdout, /agent/)
  })

  it('runs a node until it is ready, with the registry in its worker thread', async () => {
    await using cluster = await createCluster({ nodes: 1, bin })
    const status = await cluster.node(0).ops<StatusView>('status')
    assert.equal(status.sharing.active, true)
    const answer = await cluster.node(0).fetch('/v2/')
    assert.equal(answer.status, 200)
    assert.equal(await cluster.node(0).stop(), 0)
  })

  it('can be embedded: its declarations type-check', async () => {
    await writeFile(join(installed, 'consumer.ts'), consumer)
    const options = ['--noEmit', '--module', 'nodenext', '--strict', '--types', 'node']
    const roots = ['--typeRoots', join(projectDir, 'node_modules', '@types')]
    const tsc = join(projectDir, 'node_modules', '.bin', 'tsc')
    await runOrFail(tsc, [...options, ...roots, '--skipLibCheck', 'false', 'consumer.ts'], { cwd: installed })
  })
})
