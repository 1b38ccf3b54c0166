import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { createContainerdImageWriter } from '../../lib/containerd/image-writer.ts'
import { seededRng, simulationSeed } from '../sim/random.ts'
import { containerdAvailable, startContainerd, type TestContainerd } from '../support/containerd.ts'
import { eventually } from '../support/eventually.ts'
import { writeOciArchive } from '../support/oci-files.ts'
import { buildImage, type PlatformImage } from '../support/oci-image.ts'
import { endBy, isRunning, runToEnd, startOwned } from '../support/processes.ts'
import { starlingBin } from '../support/project.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { wrongBlobs } from './containerd-lab.ts'

const rounds = 6

describe('an import into containerd', { skip: containerdAvailable() ?? false }, () => {
  const undo = new AsyncDisposableStack()
  let containerd: TestContainerd
  let dir = ''
  let command: readonly string[]
  before(async () => {
    dir = undo.use(await tempFolder('ik')).path
    containerd = await startContainerd({ dir: join(dir, 'cd') })
    undo.defer(() => containerd.kill())
    const config = join(dir, 'config.yaml')
    const store = `{type: containerd, socket: ${containerd.socket}}`
    await writeFile(
      config,
      `dataDir: ${join(dir, 'data')}\nstore: ${store}\nregistry: {listen: "127.0.0.1:6443"}\n`,
    )
    await mkdir(join(dir, 'data'))
    command = [starlingBin, 'import', '--config', config]
  })
  after(() => undo.disposeAsync())

  async function archive(seed: string): Promise<{ name: string; path: string; image: PlatformImage }> {
    const name = `killed.test/team/${seed}:1`
    const path = join(dir, `${seed}.tar`)
    const layers = [{ sizeBytes: 25_000_000 }, { sizeBytes: 10_000_000 }, { sizeBytes: 30 }]
    const image = await buildImage({ seed, layers })
    await writeOciArchive(path, [{ name, image }])
    return { name, path, image }
  }

  const run = (path: string) => runToEnd(process.execPath, [...command, path], { timeoutMs: 60_000 })

  async function pinned(name: string): Promise<string | undefined> {
    const writer = await createContainerdImageWriter(containerd.socket, 'k8s.io')
    try {
      return (await writer.images()).find((image) => image.name === name)?.labels['io.cri-containerd.pinned']
    } finally {
      await writer.close()
    }
  }

  /** The image is whole and pinned, and nothing else of any import is left. */
  async function endsRight(images: readonly { name: string; image: PlatformImage }[]): Promise<void> {
    for (const { name, image } of images) {
      assert.deepEqual(await wrongBlobs(containerd, image), [], name)
      assert.equal(await pinned(name), 'pinned')
    }
    assert.equal((await containerd.ctr('leases', 'ls', '-q')).trim(), '')
    const wanted = new Set(images.flatMap(({ image }) => [...image.blobs.keys()]))
    await containerd.ctr('leases', 'create', '--id', 'collect')
    await containerd.ctr('leases', 'delete', '--sync', 'collect')
    await eventually(
      async () => {
        const stored = (await containerd.ctr('content', 'ls', '-q')).trim().split('\n')
        return (
          stored.length === wanted.size &&
          (await containerd.ctr('content', 'active')).trim().split('\n').length === 1
        )
      },
      { timeoutMs: 20_000, what: 'nothing of a broken-off import is left' },
    )
  }

  it('that is killed at any point is done by the next one, and nothing is left behind', async (test) => {
    const seed = simulationSeed(Date.now() % 1_000_000)
    test.diagnostic(`seed ${seed}`)
    const rng = seededRng(seed)
    const done: { name: string; image: PlatformImage }[] = []
    const first = await archive('whole')
    const startedMs = performance.now()
    assert.equal((await run(first.path)).code, 0)
    const tookMs = performance.now() - startedMs
    done.push(first)
    let killed = 0
    for (let round = 0; round < rounds; round += 1) {
      const next = await archive(`round-${round}`)
      const child = startOwned(process.execPath, [...command, next.path], { stdio: 'ignore' })
      await delay(tookMs * (0.1 + 0.95 * rng.next()))
      if (isRunning(child)) killed += 1
      await endBy(child, 'SIGKILL')
      const absent = (await wrongBlobs(containerd, next.image)).length > 0
      if (absent) assert.equal(await pinned(next.name), undefined, 'an image that is not whole has no name')
      const again = await run(next.path)
      assert.equal(again.code, 0, again.stderr)
      done.push(next)
    }
    assert.ok(killed > 0, 'every import was over before it was killed')
    await endsRight(done)
  })

  it('during which containerd is killed fails in one line, and is done by the next one', async () => {
    const next = await archive('server')
    const child = runToEnd(process.execPath, [...command, next.path], { timeoutMs: 60_000 })
    await eventually(async () => (await containerd.ctr('content', 'active')).trim().split('\n').length > 1, {
      timeoutMs: 20_000,
      intervalMs: 5,
      what: 'an upload is under way',
    })
    await containerd.kill()
    const broken = await child
    assert.equal(broken.code, 1)
    assert.equal(broken.stderr.trim().split('\n').length, 1, broken.stderr)
    await containerd.restart()
    const again = await run(next.path)
    assert.equal(again.code, 0, again.stderr)
    assert.deepEqual(await wrongBlobs(containerd, next.image), [])
    assert.equal(await pinned(next.name), 'pinned')
  })
})
