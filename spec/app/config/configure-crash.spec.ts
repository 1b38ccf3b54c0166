import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import { cleanupHosts, configureHosts } from '../../../lib/app/config/configure.ts'
import type { HostsDisk } from '../../../lib/app/config/hosts-folder.ts'
import { parseConfig } from '../../../lib/config/config-file.ts'
import { ownerOf } from '../../../lib/config/hosts-toml.ts'
import { parseRegistries } from '../../../lib/config/registries-file.ts'
import type { NodeConfig } from '../../../lib/core/config.ts'
import { dyingDisk } from './dying-disk.ts'

const names = ['docker.io', 'quay.io', 'r.example.com:5000', '_default', 'ghcr.io'] as const

/** What somebody else has put into one folder of `certs.d`. */
type Foreign = 'nothing' | 'empty folder' | 'file' | 'file and certificate' | 'certificate'
type Foreigners = Readonly<Partial<Record<(typeof names)[number], Foreign>>>

const foreign = fc.constantFrom<Foreign>(
  'nothing',
  'empty folder',
  'file',
  'file and certificate',
  'certificate',
)
const foreigners: fc.Arbitrary<Foreigners | undefined> = fc.option(
  fc.record(Object.fromEntries(names.map((name) => [name, foreign]))) as fc.Arbitrary<Foreigners>,
  { nil: undefined },
)
const mirrored = fc.uniqueArray(
  fc.constantFrom('docker.io', 'quay.io', 'r.example.com:5000', '*', 'ghcr.io'),
  {
    minLength: 1,
  },
)
const dies = fc.option(
  fc.nat({ max: 40 }).map((step) => step + 1),
  { nil: undefined },
)

describe('configure and cleanup that are killed between any two writes', () => {
  let dir = ''
  let certsDir = ''
  let config: NodeConfig
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'starling-crash-'))
    certsDir = join(dir, 'certs.d')
    await mkdir(join(dir, 'trust'))
    for (const name of ['server-ca.crt', 'client.crt', 'client.key']) {
      await writeFile(join(dir, 'trust', name), '')
    }
    const text = 'trust: {dir: trust}\ncertsDir: certs.d\n'
    config = parseConfig(text, 'c.yaml', { hostname: 'h', folder: dir })
  })
  after(() => rm(dir, { recursive: true, force: true }))

  const configure = (registries: readonly string[], disk?: HostsDisk) =>
    configureHosts({
      config,
      registries: parseRegistries(`mirrors:\n${registries.map((name) => `  "${name}":\n`).join('')}`, 'r'),
      ...(disk === undefined ? {} : { disk }),
    })
  const cleanup = (disk?: HostsDisk) => cleanupHosts({ certsDir, ...(disk === undefined ? {} : { disk }) })

  /** Runs it on a disk that fails at a step; one that needs fewer steps ends. Returns how many it took. */
  async function dying(
    failAt: number | undefined,
    act: (disk: HostsDisk) => Promise<unknown>,
  ): Promise<number> {
    const { disk, steps } = dyingDisk(failAt ?? Number.POSITIVE_INFINITY)
    const failed = await act(disk).then(
      () => false,
      () => true,
    )
    assert.equal(failed, failAt !== undefined && steps() >= failAt)
    return steps()
  }

  /** Everything below the temporary folder that is not the trust folder: kind, mode and text of each path. */
  async function tree(): Promise<Record<string, string>> {
    const found: Record<string, string> = {}
    for (const path of (await readdir(dir, { recursive: true })).sort()) {
      if (path.startsWith('trust')) continue
      const { mode } = await stat(join(dir, path))
      const isFolder = (mode & 0o170000) === 0o040000
      found[path] = `${mode.toString(8)} ${isFolder ? '' : await readFile(join(dir, path), 'utf8')}`
    }
    return found
  }

  async function lay(state: Foreigners | undefined): Promise<void> {
    await rm(certsDir, { recursive: true, force: true })
    if (state === undefined) return
    await mkdir(certsDir)
    for (const [name, what] of Object.entries(state)) {
      if (what === 'nothing') continue
      await mkdir(join(certsDir, name))
      if (what.includes('file'))
        await writeFile(join(certsDir, name, 'hosts.toml'), `server = "https://${name}"\n`)
      if (what.includes('certificate')) await writeFile(join(certsDir, name, 'ca.crt'), name)
    }
  }

  it('end where they were meant to, once they have run through: the same files, and after cleanup what was there', async () => {
    const history = fc.array(fc.record({ registries: mirrored, dies }), { minLength: 1, maxLength: 3 })
    await fc.assert(
      fc.asyncProperty(foreigners, history, dies, async (state, runs, diesInCleanup) => {
        await lay(state)
        const original = await tree()
        let last: readonly string[] = []
        for (const run of runs) {
          await dying(run.dies, (disk) => configure(run.registries, disk))
          last = run.registries
        }
        await configure(last)
        const done = await tree()
        const ours = Object.entries(done).filter(
          ([path, text]) =>
            path.endsWith('hosts.toml') && ownerOf(text.slice(text.indexOf(' ') + 1)) === 'ours',
        )
        assert.equal(ours.length, last.length)
        const again = await configure(last)
        assert.deepEqual([again.written, again.removed], [[], []])
        await dying(diesInCleanup, (disk) => cleanup(disk))
        await cleanup()
        assert.deepEqual(await tree(), original)
      }),
      {
        numRuns: 60,
        // Died when a foreign file had two names, and then it was no longer to be replaced.
        examples: [
          [
            {
              'docker.io': 'nothing',
              'quay.io': 'file and certificate',
              'r.example.com:5000': 'nothing',
              _default: 'nothing',
              'ghcr.io': 'nothing',
            },
            [
              { registries: ['docker.io', '*', 'r.example.com:5000', 'quay.io'], dies: 19 },
              { registries: ['docker.io'], dies: undefined },
            ],
            undefined,
          ],
        ],
      },
    )
  })

  it('cleanup killed at each of its steps is completed by the next one, and keeps what somebody changed', async () => {
    const state: Foreigners = { 'docker.io': 'file', 'quay.io': 'certificate', 'ghcr.io': 'empty folder' }
    const prepare = async () => {
      await lay(state)
      const original = await tree()
      await configure(['docker.io', 'quay.io', 'ghcr.io', 'r.example.com:5000', '*'])
      const changed = join(certsDir, 'ghcr.io', 'hosts.toml')
      const text = `${await readFile(changed, 'utf8')}# mine\n`
      await writeFile(changed, text)
      return { original, text }
    }
    await prepare()
    const steps = await dying(undefined, (disk) => cleanup(disk))
    assert.ok(steps > 10)
    for (let failAt = 1; failAt <= steps; failAt += 1) {
      const { original, text } = await prepare()
      await dying(failAt, (disk) => cleanup(disk))
      await cleanup()
      const { 'certs.d/ghcr.io/hosts.toml.changed-by-hand': kept, ...rest } = await tree()
      assert.ok(kept?.endsWith(text), `when killed at ${failAt}`)
      assert.deepEqual(rest, original, `when killed at ${failAt}`)
    }
  })

  it('what is asked for only as a look changes nothing at all, and leaves alone what another process is writing', async () => {
    await lay({ 'docker.io': 'file' })
    await writeFile(join(certsDir, 'docker.io', `.starling-${process.ppid}-x`), 'half')
    await writeFile(join(certsDir, 'docker.io', '.starling-4194999-x'), 'left by a process that is gone')
    const before = await tree()
    await configureHosts({ config, registries: parseRegistries('mirrors: {docker.io: }', 'r'), dryRun: true })
    await cleanupHosts({ certsDir, dryRun: true })
    assert.deepEqual(await tree(), before)
    await configure(['docker.io'])
    assert.deepEqual((await readdir(join(certsDir, 'docker.io'))).sort(), [
      `.starling-${process.ppid}-x`,
      'hosts.toml',
      'hosts.toml.kept-by-starling',
    ])
  })

  it('a file that somebody writes again and again is kept once', async () => {
    await lay({ 'docker.io': 'file' })
    for (let round = 0; round < 3; round += 1) {
      await configure(['docker.io'])
      await writeFile(join(certsDir, 'docker.io', 'hosts.toml'), 'server = "https://docker.io"\n')
    }
    await configure(['docker.io'])
    assert.deepEqual((await readdir(join(certsDir, 'docker.io'))).sort(), [
      'hosts.toml',
      'hosts.toml.kept-by-starling',
    ])
  })
})
