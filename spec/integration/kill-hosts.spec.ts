import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { initTrust } from '../../lib/app/trust/init.ts'
import { ownerOf } from '../../lib/config/hosts-toml.ts'
import { createCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { endBy, runOrFail, startOwned } from '../support/processes.ts'
import { starlingBin } from '../support/project.ts'
import { type TempFolder, tempFolder } from '../support/temp-folder.ts'

const count = 150
const names = Array.from({ length: count }, (_, index) => `r${index}.test`)
const registriesOf = (mirrors: readonly string[]) =>
  `mirrors:\n${mirrors.map((name) => `  ${name}:\n`).join('')}`
const foreign = (name: string) => `server = "https://${name}/mine"\n`
const foreigners = names.filter((_, index) => index % 3 === 0)

/** The text of every file below a folder. */
async function tree(dir: string): Promise<Record<string, string>> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => [])
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')))
  return Object.fromEntries(files.map((file, index) => [file.slice(dir.length + 1), texts[index] ?? '']))
}

/** Registries of which containerd finds this node's file now. */
async function done(certsDir: string): Promise<number> {
  const texts = await Promise.all(
    names.map((name) => readFile(join(certsDir, name, 'hosts.toml'), 'utf8').catch(() => '')),
  )
  return texts.filter((text) => ownerOf(text) === 'ours').length
}

/** Whatever is there is whole: ours to its last byte, or what somebody else has put there. */
async function assertWhole(certsDir: string): Promise<void> {
  for (const [path, text] of Object.entries(await tree(certsDir))) {
    if (!path.endsWith('/hosts.toml') || path.startsWith('.starling-')) continue
    const name = path.slice(0, path.indexOf('/'))
    assert.ok(ownerOf(text) === 'ours' || text === foreign(name), `${path} holds ${JSON.stringify(text)}`)
  }
}

describe('SIGKILL in the middle of', () => {
  let folder: TempFolder
  let certsDir = ''
  let configFile = ''

  before(async () => {
    folder = await tempFolder('kill')
    certsDir = join(folder.path, 'certs.d')
    configFile = join(folder.path, 'config.yaml')
    await initTrust({ dir: join(folder.path, 'trust'), nodes: [{ name: 'h', addresses: ['127.0.0.1'] }] })
    await writeFile(configFile, 'trust: {dir: trust/h}\ncertsDir: certs.d\nregistries: registries.yaml\n')
    await writeFile(join(folder.path, 'registries.yaml'), registriesOf(names))
  })
  after(() => folder?.[Symbol.asyncDispose]())

  const command = (name: 'configure' | 'cleanup') => [starlingBin, name, '--config', configFile]

  async function lay(): Promise<Record<string, string>> {
    await rm(certsDir, { recursive: true, force: true })
    for (const name of foreigners) {
      await mkdir(join(certsDir, name), { recursive: true })
      await writeFile(join(certsDir, name, 'hosts.toml'), foreign(name))
    }
    return tree(certsDir)
  }

  /** Starts it and kills it as soon as so many files are, or are no longer, there. */
  async function killedAt(name: 'configure' | 'cleanup', files: number): Promise<void> {
    const child = startOwned(process.execPath, command(name), { stdio: 'ignore' })
    const isThere = async () =>
      child.exitCode !== null ||
      (name === 'configure' ? (await done(certsDir)) >= files : (await done(certsDir)) <= files)
    await eventually(isThere, { timeoutMs: 30_000, intervalMs: 1, what: `the middle of ${name}` })
    await endBy(child, 'SIGKILL')
  }

  it('configure and cleanup leaves whole files, and the next run ends in the right state', async () => {
    const original = await lay()
    await runOrFail(process.execPath, command('configure'))
    const wanted = await tree(certsDir)
    assert.equal(await done(certsDir), count)
    for (let round = 0; round < 3; round += 1) {
      await lay()
      await killedAt('configure', randomInt(1, count))
      await assertWhole(certsDir)
      await runOrFail(process.execPath, command('configure'))
      assert.deepEqual(await tree(certsDir), wanted)
      await killedAt('cleanup', randomInt(1, count))
      await assertWhole(certsDir)
      await runOrFail(process.execPath, command('cleanup'))
      assert.deepEqual(await tree(certsDir), original)
    }
  })

  it('a reload: the node comes back with the files as they are now, and with containerd told the same', async () => {
    const configure = (config: object) => ({ ...config, manageHosts: true })
    await using cluster = await createCluster({ nodes: 1, mirrors: ['first.test'], configure })
    const node = cluster.node(0)
    const dir = join(node.dir, 'certs.d')
    await eventually(async () => (await readdir(dir)).includes('first.test'))
    for (let round = 0; round < 2; round += 1) {
      const mirrors = round % 2 === 0 ? names : ['first.test']
      await writeFile(`${node.registriesFile}.new`, registriesOf(mirrors))
      await rename(`${node.registriesFile}.new`, node.registriesFile)
      process.kill(node.pid ?? 0, 'SIGHUP')
      const middle = randomInt(1, count)
      await eventually(
        async () => (round % 2 === 0 ? (await done(dir)) >= middle : (await done(dir)) <= middle),
        { timeoutMs: 30_000, intervalMs: 1, what: 'the middle of a reload' },
      )
      await node.kill()
      await assertWhole(dir)
      await node.start()
      const wanted = round % 2 === 0 ? count : 0
      await eventually(
        async () => {
          const folders = (await readdir(dir)).filter((name) => !name.startsWith('.'))
          // A folder is there before its file.
          return folders.length === mirrors.length && (await done(dir)) === wanted
        },
        { timeoutMs: 30_000, what: 'the folder in step' },
      )
      assert.equal((await node.fetch('/v2/')).status, 200)
      assert.ok(!Object.keys(await tree(dir)).some((path) => path.includes('.starling-')))
    }
  })
})
