import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { createContainerdReader } from '../../lib/containerd/blob-reader.ts'
import { blobPath } from '../../lib/containerd/content-folder.ts'
import type { StoreTiming } from '../../lib/containerd/context.ts'
import { createContainerdStore } from '../../lib/containerd/store.ts'
import type { ContentStore } from '../../lib/core/content-store.ts'
import { containerdAvailable, startContainerd, type TestContainerd } from '../support/containerd.ts'
import { eventually } from '../support/eventually.ts'
import { writeDockerArchive, writeOciArchive } from '../support/oci-files.ts'
import { buildImage, type PlatformImage, type TestImage } from '../support/oci-image.ts'
import { expectedBytes, quietPorts, Recording, readAll } from '../support/store-testing.ts'

/** No second listing that would find what the folder should tell. */
const watchOnly = { settleDelayMs: 60_000 }
const labelPrefix = 'containerd.io/distribution.source.'

describe('content of a real containerd', { skip: containerdAvailable() ?? false }, () => {
  let dir: string
  let containerd: TestContainerd
  const stores: ContentStore[] = []

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'starling-cd-'))
    containerd = await startContainerd({ dir })
  })
  after(async () => {
    await Promise.all(stores.map((store) => store.stop()))
    await containerd.stop()
    await rm(dir, { recursive: true })
  })

  const load = async (name: string, image: TestImage, namespace = 'k8s.io'): Promise<void> => {
    const archive = join(dir, 'load.tar')
    await writeOciArchive(archive, [{ name, image }])
    await containerd.ctr('--namespace', namespace, 'images', 'import', '--no-unpack', archive)
  }
  const follow = async (
    options: { namespaces?: readonly string[]; contentPath?: string; timing?: Partial<StoreTiming> } = {},
  ): Promise<{ store: ContentStore; told: Recording; ports: ReturnType<typeof quietPorts> }> => {
    const ports = quietPorts()
    const store = createContainerdStore({
      socket: containerd.socket,
      namespaces: ['k8s.io'],
      ...options,
      ...ports,
    })
    stores.push(store)
    return { store, told: await Recording.of(store), ports }
  }
  const label = (image: PlatformImage, host: string): Promise<string> =>
    containerd.ctr('content', 'label', image.root.digest, `${labelPrefix}${host}=team/app`)

  it('names the registries of its labels, Docker Hub and hosts with dots; they change with an audit', async () => {
    const image = await buildImage({ seed: 'labels', layers: [{ sizeBytes: 50 }] })
    await load('registry.test:5000/team/app:1', image)
    await label(image, 'docker.io')
    const { store, told } = await follow()
    assert.deepEqual(told.view.blobs.get(image.root.digest)?.sources, ['docker.io'])
    assert.deepEqual(told.view.blobs.get(image.config.digest)?.sources, [])
    await label(image, 'registry.test')
    await store.audit()
    assert.deepEqual(told.view.blobs.get(image.root.digest)?.sources, ['docker.io', 'registry.test'])
  })

  it('tells blobs that are committed before their image has a name', async () => {
    const { told } = await follow({ timing: watchOnly })
    const blob = Buffer.from(`a blob of its own ${dir}`)
    const digest = `sha256:${createHash('sha256').update(blob).digest('hex')}`
    execFileSync(
      'ctr',
      ['-a', containerd.socket, '-n', 'k8s.io', 'content', 'ingest', '--expected-digest', digest, 'ref-1'],
      { input: blob },
    )
    await eventually(() => told.view.blobs.get(digest as never)?.sizeBytes === blob.length)
  })

  it('tells that garbage collection took a blob, of which containerd says nothing', async () => {
    const image = await buildImage({ seed: 'collected', layers: [{ sizeBytes: 50 }] })
    await load('registry.test/collected:1', image)
    const { told } = await follow({ timing: watchOnly })
    assert.ok(told.view.blobs.has(image.root.digest))
    await containerd.ctr('images', 'rm', '--sync', 'registry.test/collected:1')
    await eventually(() => [...image.blobs.keys()].every((digest) => !told.view.blobs.has(digest)))
  })

  it('of another namespace is not told, and is once a configured one has it', async () => {
    const image = await buildImage({ seed: 'elsewhere', layers: [{ sizeBytes: 50 }] })
    await load('registry.test/elsewhere:1', image, 'moby')
    const { store, told } = await follow()
    await store.audit()
    assert.equal(told.view.blobs.has(image.root.digest), false)
    assert.equal(told.target('registry.test/elsewhere:1'), undefined)
    const both = await follow({ namespaces: ['k8s.io', 'moby'] })
    assert.equal(both.told.target('registry.test/elsewhere:1'), image.root.digest)
    assert.ok(both.told.view.blobs.has(image.root.digest))
    await load('registry.test/elsewhere:1', image)
    await told.holds('registry.test/elsewhere:1', image)
    await both.told.holds('registry.test/elsewhere:1', image)
    assert.equal(both.told.view.images.size, told.view.images.size + 1)
  })

  it('names namespaces that do not exist yet in the log', async () => {
    const { ports } = await follow({ namespaces: ['k8s.io', 'not-there'] })
    const line = ports.lines.find((entry) => /do not exist in containerd yet/.test(entry.message))
    assert.ok(line)
    assert.deepEqual((line.fields as { absent: string[] }).absent, ['not-there'])
  })

  it('from a docker archive is told with the digests that containerd made', async () => {
    const { told } = await follow()
    const image = await buildImage({ seed: 'docker', layers: [{ sizeBytes: 500, gzip: true }] })
    await writeDockerArchive(join(dir, 'docker.tar'), 'docker.io/library/saved:1', image)
    await containerd.ctr('images', 'import', '--no-unpack', join(dir, 'docker.tar'))
    const target = await eventually(() => told.target('docker.io/library/saved:1'))
    assert.notEqual(target, image.root.digest)
    await eventually(() => told.view.blobs.get(target)?.children?.includes(image.diffs[0]!.descriptor.digest))
    assert.ok(told.view.blobs.has(image.diffs[0]!.descriptor.digest))
  })

  it('over gRPC has the same bytes as from its folder', async () => {
    const image = await buildImage({
      seed: 'grpc',
      layers: [{ sizeBytes: 1_300_000 }, { sizeBytes: 10, gzip: true }],
    })
    await load('registry.test/grpc:1', image)
    const source = { kind: 'containerd', socket: containerd.socket, namespaces: ['none', 'k8s.io'] } as const
    const remote = createContainerdReader({ ...source, contentPath: join(dir, 'not-mounted') })
    const unknown = createContainerdReader({ ...source, contentPath: undefined })
    const local = createContainerdReader({ ...source, contentPath: containerd.contentPath })
    try {
      for (const digest of image.blobs.keys()) {
        const expected = await expectedBytes(image, digest)
        for (const reader of [local, remote, unknown])
          assert.deepEqual(await readAll(reader, digest), expected)
      }
      const { digest, size } = image.layers[0]!
      const expected = await expectedBytes(image, digest)
      const handle = await remote.open(digest)
      assert.ok(handle)
      for (const [offset, length] of [
        [700_000, 1000],
        [701_000, 100_000],
        [5, 10],
        [size - 3, 100],
        [size, 1],
      ] as const) {
        const target = Buffer.alloc(length)
        const count = await handle.read(target, offset)
        assert.deepEqual(target.subarray(0, count), expected.subarray(offset, offset + length))
      }
      assert.equal(await remote.open(`sha256:${'0'.repeat(64)}` as never), undefined)
    } finally {
      await Promise.all([local.close(), remote.close(), unknown.close()])
    }
  })

  it('over gRPC, read from its start, stays readable when it is deleted meanwhile', async () => {
    const image = await buildImage({ seed: 'grpc-deleted', layers: [{ sizeBytes: 4_000_000 }] })
    await load('registry.test/grpc-deleted:1', image)
    const { digest, size } = image.layers[0]!
    const reader = createContainerdReader({
      kind: 'containerd',
      contentPath: undefined,
      socket: containerd.socket,
      namespaces: ['k8s.io'],
    })
    try {
      const handle = await reader.open(digest)
      assert.ok(handle)
      const bytes = Buffer.alloc(size)
      let filled = await handle.read(bytes.subarray(0, 1000), 0)
      await containerd.ctr('images', 'rm', '--sync', 'registry.test/grpc-deleted:1')
      while (filled < size) filled += await handle.read(bytes.subarray(filled), filled)
      assert.deepEqual(bytes, await expectedBytes(image, digest))
      assert.equal(await reader.open(digest), undefined)
    } finally {
      await reader.close()
    }
  })

  it('over gRPC is an error in one line when containerd is gone', async () => {
    const reader = createContainerdReader({
      kind: 'containerd',
      contentPath: undefined,
      socket: join(dir, 'gone.sock'),
      namespaces: ['k8s.io'],
    })
    await assert.rejects(() => reader.open(`sha256:${'0'.repeat(64)}` as never), {
      code: 'STORE_UNAVAILABLE',
      message: /^containerd did not answer the call \(UNAVAILABLE: [^\n]*\)$/,
    })
    await reader.close()
  })

  it('without a folder to watch is followed by events, and what is collected is found soon', async () => {
    const { told, store } = await follow({
      contentPath: join(dir, 'not-mounted'),
      timing: { settleDelayMs: 60_000, collectDelayMs: 50 },
    })
    assert.equal((store.source() as { contentPath?: string }).contentPath, undefined)
    const image = await buildImage({ seed: 'unwatched', layers: [{ sizeBytes: 50 }] })
    await load('registry.test/unwatched:1', image)
    await told.holds('registry.test/unwatched:1', image)
    await containerd.ctr('images', 'rm', '--sync', 'registry.test/unwatched:1')
    await eventually(() => !told.view.blobs.has(image.root.digest))
  })

  it('in a folder that belongs to another containerd is not looked for there', async () => {
    const image = await buildImage({ seed: 'mixed-up', layers: [{ sizeBytes: 50 }] })
    await load('registry.test/mixed-up:1', image)
    const other = join(dir, 'other-content')
    await mkdir(join(other, 'blobs', 'sha256'), { recursive: true })
    const { told, ports, store } = await follow({ contentPath: other })
    await told.holds('registry.test/mixed-up:1', image)
    assert.ok(
      ports.lines.some((line) => line.level === 'warn' && /not that of this containerd/.test(line.message)),
    )
    assert.deepEqual(
      await readAll(store.reader(), image.root.digest),
      await expectedBytes(image, image.root.digest),
    )
  })

  it('that is a link, a folder or cut short is neither told nor opened', async () => {
    const image = await buildImage({
      seed: 'tampered',
      layers: [{ sizeBytes: 50 }, { sizeBytes: 60 }, { sizeBytes: 70 }],
    })
    await load('registry.test/tampered:1', image)
    const { told, store } = await follow()
    const [linked, folder, short] = image.layers.map((layer) => layer.digest)
    assert.ok(linked && folder && short)
    await rm(blobPath(containerd.contentPath, linked))
    await symlink('/etc/passwd', blobPath(containerd.contentPath, linked))
    await rm(blobPath(containerd.contentPath, folder))
    await mkdir(blobPath(containerd.contentPath, folder))
    await writeFile(join(dir, 'short'), 'short')
    await rename(join(dir, 'short'), blobPath(containerd.contentPath, short))
    await eventually(() => [linked, folder, short].every((digest) => !told.view.blobs.has(digest)))
    assert.equal(await store.reader().open(linked), undefined)
    assert.equal(await store.reader().open(folder), undefined)
  })

  it('whose manifest has wrong bytes is not told, with a line in the log', async () => {
    const image = await buildImage({ seed: 'corrupt', layers: [{ sizeBytes: 50 }] })
    await load('registry.test/corrupt:1', image)
    const bytes = await expectedBytes(image, image.root.digest)
    bytes[20] = bytes[20]! ^ 1
    await writeFile(join(dir, 'corrupt'), bytes)
    await rename(join(dir, 'corrupt'), blobPath(containerd.contentPath, image.root.digest))
    const { told, ports } = await follow()
    assert.equal(told.view.blobs.has(image.root.digest), false)
    assert.ok(ports.lines.some((line) => /bytes of a manifest are not those/.test(line.message)))
  })
})
