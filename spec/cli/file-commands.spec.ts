import assert from 'node:assert/strict'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { parse as parseYaml } from 'yaml'
import { type TempFolder, tempFolder } from '../support/temp-folder.ts'
import { runCli } from './run-cli.ts'

let folder: TempFolder
let config = ''

before(async () => {
  folder = await tempFolder('files')
  config = join(folder.path, 'node.yaml')
  await writeFile(
    config,
    'trust: {dir: trust/node-1}\nregistries: registries.yaml\ncertsDir: certs.d\nregistry: {listen: "127.0.12.1:7443"}\n',
  )
  await writeFile(join(folder.path, 'registries.yaml'), 'mirrors:\n  docker.io:\n  localhost:5000:\n')
})

after(() => folder[Symbol.asyncDispose]())

describe('the commands on files', () => {
  it('trust init, configure and configure again work together', async () => {
    const dir = join(folder.path, 'trust')
    const trust = await runCli('trust', 'init', '--dir', dir, '--node', 'node-1=127.0.0.1')
    assert.equal(trust.code, 0, trust.stderr)
    assert.match(trust.stdout, /^node-1 +created .*12D3Koo/m)
    assert.equal((await stat(join(dir, 'node-1', 'psk'))).mode & 0o777, 0o600)

    const first = await runCli('configure', '--config', config)
    assert.equal(first.code, 0, first.stderr)
    assert.match(first.stdout, /^docker\.io +written$/m)
    assert.match(first.stderr, /^warning: .*registries\.yaml:3:3: "localhost:5000" is not shared; /)
    const text = await readFile(join(folder.path, 'certs.d', 'docker.io', 'hosts.toml'), 'utf8')
    assert.match(text, /https:\/\/127\.0\.12\.1:7443/)

    const second = await runCli('configure', '--config', config, '--output', 'json')
    assert.deepEqual((JSON.parse(second.stdout) as { unchanged: string[] }).unchanged, ['docker.io'])

    const file = join(folder.path, 'certs.d', 'docker.io', 'hosts.toml')
    await writeFile(file, `${text}# mine\n`)
    const third = await runCli('configure', '--config', config)
    assert.equal(third.code, 1)
    assert.match(third.stderr, /certs\.d\/docker\.io: its hosts\.toml was changed by somebody; move the file/)

    const mine = 'server = "https://mine"\n'
    await writeFile(file, mine)
    const check = await runCli('configure', '--config', config, '--check')
    assert.equal(check.code, 1)
    assert.match(check.stdout, /^-server = "https:\/\/mine"$/m)
    assert.match(check.stdout, /^\+server = "https:\/\/registry-1\.docker\.io"$/m)
    assert.equal((await runCli('configure', '--config', config, '--dry-run')).code, 0)
    assert.equal(await readFile(file, 'utf8'), mine)
    assert.equal((await runCli('configure', '--config', config)).code, 0)
    assert.equal((await runCli('configure', '--config', config, '--check')).code, 0)
    assert.equal(
      await readFile(file, 'utf8'),
      text
        .replace(/^# sha256:.*$/m, (await readFile(file, 'utf8')).split('\n')[1] ?? '')
        .replace('before: nothing', 'before: file'),
    )
    const cleanup = await runCli('cleanup', '--config', config)
    assert.deepEqual([cleanup.code, cleanup.stderr], [0, ''])
    assert.equal(await readFile(file, 'utf8'), mine)
  })

  it('config show prints the defaults too, config schema the schema, config check a verdict', async () => {
    const show = await runCli('config', 'show', '--config', config)
    const shown = parseYaml(show.stdout) as { dataDir: string; registry: { listen: string[] } }
    assert.deepEqual([shown.dataDir, shown.registry.listen], ['/var/lib/starling', ['127.0.12.1:7443']])
    const json = await runCli('config', 'show', '--config', config, '--output', 'json')
    assert.deepEqual(JSON.parse(json.stdout), shown)
    const schema = await runCli('config', 'schema')
    assert.equal((JSON.parse(schema.stdout) as { type: string }).type, 'object')
    const check = await runCli('config', 'check', '--config', config)
    assert.equal(check.code, 0)
    assert.match(check.stdout, /node\.yaml: good\n.*registries\.yaml: mirrors docker\.io\n$/)
  })

  it('all errors of a file come in one go, a line each, with code 2', async () => {
    const bad = join(folder.path, 'bad.yaml')
    await writeFile(bad, 'nod: {}\nlog: {level: loud}\n')
    for (const args of [['config', 'check'], ['agent'], ['status']]) {
      const run = await runCli(...args, '--config', bad)
      assert.deepEqual([run.code, run.stdout], [2, ''], args.join(' '))
      assert.equal(
        run.stderr,
        `${bad}:1:1: unknown key "nod"; did you mean node?\n${bad}:2:14: log.level must be debug, info, warn or error, not "loud"; use one of these\n`,
      )
    }
  })

  it('version names the version of the package', async () => {
    const text = await readFile(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8')
    const { version } = JSON.parse(text) as { version: string }
    assert.match((await runCli('version')).stdout, new RegExp(`^starling ${version}, Node\\.js v\\d+`))
    assert.equal((await runCli('--version')).stdout, `${version}\n`)
  })
})
