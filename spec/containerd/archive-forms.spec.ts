import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { importArchive } from '../../lib/archive/import-archive.ts'
import { createContainerdImageWriter } from '../../lib/containerd/image-writer.ts'
import type { ImageWriter } from '../../lib/core/image-writer.ts'
import { containerdAvailable, startContainerd, type TestContainerd } from '../support/containerd.ts'
import { writeDockerArchive, writeOciArchive } from '../support/oci-files.ts'
import { buildImage, hostPlatform } from '../support/oci-image.ts'
import { runOrFail } from '../support/processes.ts'
import { skipWithout } from '../support/requirements.ts'
import { tempFolder } from '../support/temp-folder.ts'

const platform = { ...hostPlatform(), variant: undefined }
const compressions: readonly (readonly [endings: readonly string[], command: readonly string[]])[] = [
  [['.tar'], []],
  [
    ['.tar.gz', '.tgz'],
    ['gzip', '-k', '-1'],
  ],
  [
    ['.tar.zst', '.tzst'],
    ['zstd', '-q', '-k'],
  ],
  [
    ['.tar.bz2', '.tbz'],
    ['bzip2', '-k', '-1'],
  ],
  [['.tar.lz4'], ['lz4', '-q', '-k', '-m']],
]
const suffixes: Readonly<Record<string, string>> = { gzip: '.gz', zstd: '.zst', bzip2: '.bz2', lz4: '.lz4' }

describe('each form of an archive in containerd', {
  skip: containerdAvailable() ?? skipWithout('gzip', 'zstd', 'bzip2', 'lz4'),
}, () => {
  const undo = new AsyncDisposableStack()
  let containerd: TestContainerd
  let writer: ImageWriter
  let dir = ''
  before(async () => {
    dir = undo.use(await tempFolder('af')).path
    containerd = await startContainerd({ dir: join(dir, 'cd') })
    undo.defer(() => containerd.kill())
    writer = await createContainerdImageWriter(containerd.socket, 'k8s.io')
    undo.defer(() => writer.close())
  })
  after(() => undo.disposeAsync())

  for (const kind of ['docker', 'oci']) {
    for (const [endings, [program = 'none', ...flags]] of compressions) {
      it(`${kind}, ${endings.join(' and ')}: is whole and pinned`, async () => {
        const repository = `made-up.test/${kind}/${program}`
        const image = await buildImage({
          seed: repository,
          layers: [{ sizeBytes: 70_000 }, { sizeBytes: 300, gzip: true }],
        })
        const plain = join(dir, `${kind}-${program}.tar`)
        if (kind === 'docker') await writeDockerArchive(plain, `${repository}:1`, image)
        else await writeOciArchive(plain, [{ name: `${repository}:1`, image }])
        if (program !== 'none') await runOrFail(program, [...flags, plain])
        for (const ending of endings) {
          const path = join(dir, `${kind}-${program}-named${ending}`)
          await runOrFail('cp', [`${plain}${suffixes[program] ?? ''}`, path])
          await importArchive({ path, writer, platform: 'all', hostPlatform: platform })
        }
        const check = await containerd.ctr('images', 'check', `name==${repository}:1`)
        assert.match(check, /complete \(3\/3\)|complete \(4\/4\)/)
        assert.match(
          await containerd.ctr('images', 'ls', `name==${repository}:1`),
          /io\.cri-containerd\.pinned=pinned/,
        )
      })
    }
  }

  it('an import leaves no lease and no upload behind', async () => {
    assert.equal((await containerd.ctr('leases', 'ls', '-q')).trim(), '')
    assert.equal((await containerd.ctr('content', 'active')).trim().split('\n').length, 1)
  })
})
