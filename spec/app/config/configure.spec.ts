import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { configureHosts } from '../../../lib/app/config/configure.ts'
import type { HostsDisk } from '../../../lib/app/config/hosts-folder.ts'
import { parseConfig } from '../../../lib/config/config-file.ts'
import { ownerOf } from '../../../lib/config/hosts-toml.ts'
import { parseRegistries, type RegistriesPlan } from '../../../lib/config/registries-file.ts'
import type { NodeConfig } from '../../../lib/core/config.ts'
import { StarlingError } from '../../../lib/core/errors.ts'
import { dyingDisk } from './dying-disk.ts'

let dir = ''
let certsDir = ''
let config: NodeConfig

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'starling-configure-'))
  certsDir = join(dir, 'etc', 'certs.d')
  await mkdir(join(dir, 'trust'))
  for (const name of ['server-ca.crt', 'client.crt', 'client.key']) {
    await writeFile(join(dir, 'trust', name), '')
  }
  const text = 'trust: {dir: trust}\ncertsDir: etc/certs.d\n'
  config = parseConfig(text, 'c.yaml', { hostname: 'h', folder: dir })
})

afterEach(() => rm(dir, { recursive: true, force: true }))

const mirrorsOf = (...names: string[]): RegistriesPlan =>
  parseRegistries(`mirrors:\n${names.map((name) => `  "${name}":\n`).join('')}`, 'r.yaml')

const run = (registries: RegistriesPlan, disk?: HostsDisk, port = 6443) =>
  configureHosts({
    config: { ...config, registry: { ...config.registry, listen: [{ host: '0.0.0.0', port }] } },
    registries,
    ...(disk === undefined ? {} : { disk }),
  })

const hostsOf = (folder: string) => readFile(join(certsDir, folder, 'hosts.toml'), 'utf8')

/** Text of every hosts.toml that containerd would find, by folder. */
async function snapshot(): Promise<Record<string, string>> {
  const state: Record<string, string> = {}
  for (const folder of (await readdir(certsDir).catch(() => [])).filter((name) => !name.startsWith('.'))) {
    state[folder] = await hostsOf(folder).catch(() => 'no file')
  }
  return state
}

describe('configure', () => {
  it('writes a file for each mirrored registry, and the second time nothing', async () => {
    const first = await run(mirrorsOf('docker.io', 'r.example.com:5000', '*'))
    assert.deepEqual(first.written, ['docker.io', 'r.example.com:5000', '_default'])
    const before = await stat(join(certsDir, 'docker.io', 'hosts.toml'))
    const second = await run(mirrorsOf('docker.io', 'r.example.com:5000', '*'))
    assert.deepEqual(second.unchanged, ['docker.io', 'r.example.com:5000', '_default'])
    assert.deepEqual([second.written, second.removed, second.refused], [[], [], []])
    const after = await stat(join(certsDir, 'docker.io', 'hosts.toml'))
    assert.equal(after.mtimeMs, before.mtimeMs)
    assert.equal(after.ino, before.ino)
  })

  it('follows the port, and removes what is no longer mirrored', async () => {
    await run(mirrorsOf('docker.io', 'quay.io'))
    const result = await run(mirrorsOf('docker.io'), undefined, 7443)
    assert.deepEqual([result.written, result.removed], [['docker.io'], ['quay.io']])
    assert.match(await hostsOf('docker.io'), /https:\/\/127\.0\.0\.1:7443/)
    assert.deepEqual(Object.keys(await snapshot()), ['docker.io'])
  })

  it('keeps foreign and changed files, and other files in a folder of ours', async () => {
    await run(mirrorsOf('docker.io', 'quay.io'))
    await mkdir(join(certsDir, 'ghcr.io'))
    await writeFile(join(certsDir, 'ghcr.io', 'hosts.toml'), 'server = "https://mine"\n')
    const changed = `${await hostsOf('docker.io')}# mine\n`
    await writeFile(join(certsDir, 'docker.io', 'hosts.toml'), changed)
    await writeFile(join(certsDir, 'quay.io', 'ca.crt'), 'mine')
    const result = await run(mirrorsOf('docker.io', 'ghcr.io'))
    assert.deepEqual(
      result.refused.map((refusal) => refusal.folder),
      ['docker.io'],
    )
    assert.equal(await hostsOf('docker.io'), changed)
    const kept = await readFile(join(certsDir, 'ghcr.io', 'hosts.toml.kept-by-starling'), 'utf8')
    assert.equal(kept, 'server = "https://mine"\n')
    assert.deepEqual(await readdir(join(certsDir, 'quay.io')), ['ca.crt'])
  })

  it('follows no link out of the folder', async () => {
    await mkdir(join(dir, 'elsewhere'))
    await mkdir(certsDir, { recursive: true })
    await symlink(join(dir, 'elsewhere'), join(certsDir, 'docker.io'))
    const result = await run(mirrorsOf('docker.io'))
    assert.deepEqual(
      result.refused.map((refusal) => refusal.folder),
      ['docker.io'],
    )
    assert.deepEqual(await readdir(join(dir, 'elsewhere')), [])
  })

  it('refuses to name trust files that are not there, because every pull would fail', async () => {
    await rm(join(dir, 'trust', 'client.key'))
    await assert.rejects(run(mirrorsOf('docker.io')), (error) => {
      assert(error instanceof StarlingError && error.code === 'TRUST_FILE_INVALID')
      return error.format().includes('client.key: containerd will need this file')
    })
    assert.deepEqual(await snapshot(), {})
  })

  it('says what is wrong with a folder that cannot be one', async () => {
    await writeFile(join(dir, 'etc'), '')
    await assert.rejects(run(mirrorsOf('docker.io')), (error) => {
      assert(error instanceof StarlingError && error.code === 'CONFIG_INVALID')
      return error.format().startsWith(`${certsDir}: the folder cannot be brought up to date (ENOTDIR)`)
    })
  })

  it('leaves the old or the new of every file, wherever it is killed, and the next run completes it', async () => {
    await run(mirrorsOf('docker.io', 'quay.io'))
    const old = await snapshot()
    const wanted = mirrorsOf('docker.io', 'ghcr.io')
    const dry = dyingDisk(Number.POSITIVE_INFINITY)
    await run(wanted, dry.disk, 7443)
    const fresh = await snapshot()
    assert(dry.steps() > 8)
    for (let failAt = 1; failAt <= dry.steps(); failAt += 1) {
      await rm(certsDir, { recursive: true })
      await run(mirrorsOf('docker.io', 'quay.io'))
      await assert.rejects(run(wanted, dyingDisk(failAt).disk, 7443))
      const state = await snapshot()
      for (const folder of new Set([...Object.keys(old), ...Object.keys(fresh), ...Object.keys(state)])) {
        assert([old[folder], fresh[folder]].includes(state[folder]), `${folder} when killed at ${failAt}`)
      }
      await run(wanted, undefined, 7443)
      assert.deepEqual(await snapshot(), fresh)
      const everything = await readdir(certsDir, { recursive: true })
      assert.deepEqual(
        everything.filter((name) => name.includes('.starling-')),
        [],
      )
    }
    assert(Object.values(fresh).every((text) => ownerOf(text) === 'ours'))
  })
})
