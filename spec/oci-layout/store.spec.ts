import assert from 'node:assert/strict'
import { appendFile, chmod, mkdir, mkdtemp, open, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import type { ContentStore } from '../../lib/core/content-store.ts'
import { digestHex } from '../../lib/core/digest.ts'
import { blobPath } from '../../lib/oci-layout/layout.ts'
import { createOciLayoutStore } from '../../lib/oci-layout/store.ts'
import { LayoutWriter } from '../../lib/oci-layout/writer.ts'
import { eventually } from '../support/eventually.ts'
import { namedDescriptor, writeOciLayout } from '../support/oci-files.ts'
import { buildImage } from '../support/oci-image.ts'
import { expectedBytes, quietPorts, Recording } from '../support/store-testing.ts'

describe('the store over an image-layout folder', () => {
  let folder: string
  let path: string
  let store: ContentStore
  let ports: ReturnType<typeof quietPorts>

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'starling-oci-'))
    path = join(folder, 'layout')
    ports = quietPorts()
    store = createOciLayoutStore({ path, ...ports })
  })
  afterEach(async () => {
    await store.stop()
    await rm(folder, { recursive: true })
  })

  const warnings = (): string[] =>
    ports.lines
      .filter((line) => line.level === 'warn')
      .map((line) => `${line.message}: ${JSON.stringify(line.fields)}`)

  it('waits for a folder that is absent, says so once, and follows it when it comes', async () => {
    const told = new Recording()
    await store.start((change) => told.hear(change))
    await eventually(() => /oci-layout does not exist/.test(store.status().problem ?? ''))
    await store.audit()
    assert.equal(told.changes.length, 0)
    const image = await buildImage({ seed: 'comes', layers: [{ sizeBytes: 10 }] })
    await writeOciLayout(path, [{ name: 'registry.test/comes:1', image }])
    await told.holds('registry.test/comes:1', image)
    assert.equal(store.status().version, '1.0.0')
    assert.equal(warnings().length, 1)
  })

  it('tells nothing that is in it any more when the folder goes', async () => {
    const image = await buildImage({ seed: 'goes', layers: [{ sizeBytes: 10 }] })
    await writeOciLayout(path, [{ name: 'registry.test/goes:1', image }])
    const told = await Recording.of(store)
    assert.equal(told.view.blobs.size, 3)
    await rm(path, { recursive: true })
    await eventually(() => told.view.blobs.size === 0 && told.view.images.size === 0)
    assert.equal(store.status().state, 'waiting')
  })

  it('keeps what a half-written index said before, with one warning, until it is whole again', async () => {
    const image = await buildImage({ seed: 'half', layers: [{ sizeBytes: 10 }] })
    await writeOciLayout(path, [{ name: 'registry.test/half:1', image }])
    const told = await Recording.of(store)
    const index = JSON.stringify({ manifests: [namedDescriptor('registry.test/half:2', image.root)] })
    for (const length of [0, 1, 30, index.length - 1]) {
      await writeFile(join(path, 'index.json'), index.slice(0, length))
      await eventually(() => /index\.json is not JSON, or half written/.test(store.status().problem ?? ''))
      await store.audit()
      assert.equal(told.target('registry.test/half:1'), image.root.digest)
    }
    assert.equal(store.status().state, 'connected')
    assert.equal(warnings().length, 1, warnings().join('\n'))
    await writeFile(join(path, 'index.json'), index)
    await eventually(() => told.target('registry.test/half:2') === image.root.digest)
    await eventually(() => store.status().problem === undefined)
    assert.equal(told.target('registry.test/half:1'), undefined)
  })

  it('takes names from containerd annotations, and from OCI ones that are full names', async () => {
    const { root } = await buildImage({ seed: 'names', layers: [] })
    const entry = (annotations: Record<string, unknown> | undefined): object => ({ ...root, annotations })
    const containerd = 'io.containerd.image.name'
    const oci = 'org.opencontainers.image.ref.name'
    await writeOciLayout(path, [])
    await writeFile(
      join(path, 'index.json'),
      JSON.stringify({
        manifests: [
          entry({ [containerd]: 'docker.io/library/a:1', [oci]: '1' }),
          entry({ [oci]: 'registry.test:5000/b:1' }),
          entry({ [oci]: 'localhost/c:1' }),
          entry({ [oci]: 'latest' }),
          entry({ [oci]: 'team/app:1' }),
          entry({ [containerd]: 'registry.test/../../etc/passwd:1' }),
          entry({ [containerd]: 'registry.test/nul\u0000:1' }),
          entry({ [containerd]: `registry.test/${'x'.repeat(4096)}:1` }),
          entry({ [containerd]: 7 }),
          entry(undefined),
          { digest: 'sha256:../../etc/passwd', annotations: { [containerd]: 'registry.test/d:1' } },
          { annotations: { [containerd]: 'registry.test/e:1' } },
          null,
          'text',
          [],
        ],
      }),
    )
    const told = await Recording.of(store)
    assert.deepEqual(
      [...told.view.images.values()].map((image) => image.name),
      ['docker.io/library/a:1', 'registry.test:5000/b:1', 'localhost/c:1'],
    )
    assert.ok(ports.lines.some((line) => (line.fields as { skipped?: number }).skipped === 12))
  })

  for (const [what, text] of [
    ['a number', '7'],
    ['null', 'null'],
    ['a list', '[]'],
    ['manifests that are no list', '{"manifests":{}}'],
    ['binary', '\u0000\u0001\uffff'],
    ['more than 16 MiB', `{"manifests":[]}${' '.repeat(17 * 2 ** 20)}`],
  ] as const) {
    it(`an index.json that is ${what} is a problem in one line, and blobs are still told`, async () => {
      const image = await buildImage({ seed: 'bad', layers: [{ sizeBytes: 10 }] })
      await writeOciLayout(path, [{ name: 'registry.test/bad:1', image }])
      await writeFile(join(path, 'index.json'), text)
      const told = await Recording.of(store)
      assert.match(store.status().problem ?? '', /^\S+index\.json [^\n]+$/)
      assert.equal(told.view.images.size, 0)
      assert.equal(told.view.blobs.size, 3)
    })
  }

  it('a layout of another version is a problem', async () => {
    await writeOciLayout(path, [])
    await writeFile(join(path, 'oci-layout'), '{"imageLayoutVersion":"2.0.0"}')
    await store.start(() => assert.fail('nothing must be told'))
    await eventually(() => /does not name a version 1/.test(store.status().problem ?? ''))
    assert.equal(store.status().state, 'waiting')
  })

  it('an index with more images than the bound is cut, and that is a problem', async () => {
    await writeOciLayout(path, [])
    const digest = `sha256:${'0'.repeat(64)}`
    const entries = Array.from({ length: 100_050 }, (_, index) => ({
      digest,
      annotations: { 'io.containerd.image.name': `r.test/a:${index}` },
    }))
    await writeFile(join(path, 'index.json'), JSON.stringify({ manifests: entries }))
    const told = await Recording.of(store)
    assert.equal(told.view.images.size, 100_000)
    assert.match(store.status().problem ?? '', /too many images/)
  })

  it('what is not a regular file with the name of a digest is not told', async () => {
    const image = await buildImage({ seed: 'odd', layers: [{ sizeBytes: 10 }] })
    await writeOciLayout(path, [{ name: 'registry.test/odd:1', image }])
    const blobs = join(path, 'blobs', 'sha256')
    await symlink('/etc/passwd', join(blobs, 'a'.repeat(64)))
    await mkdir(join(blobs, 'b'.repeat(64)))
    await writeFile(join(blobs, `${'c'.repeat(64)}.tmp`), 'x')
    await writeFile(join(blobs, 'C'.repeat(64)), 'x')
    await writeFile(join(blobs, 'd'.repeat(64)), '')
    const told = await Recording.of(store)
    assert.deepEqual(new Set(told.view.blobs.keys()), new Set(image.blobs.keys()))
    assert.equal(await store.reader().open(`sha256:${'a'.repeat(64)}` as never), undefined)
    assert.equal(await store.reader().open(`sha256:${'b'.repeat(64)}` as never), undefined)
  })

  it('a manifest with wrong bytes is not told', async () => {
    const image = await buildImage({ seed: 'wrong', layers: [{ sizeBytes: 10 }] })
    await writeOciLayout(path, [{ name: 'registry.test/wrong:1', image }])
    await writeFile(blobPath(path, image.root.digest), '{"config":{},"layers":[]}')
    const told = await Recording.of(store)
    assert.equal(told.view.blobs.has(image.root.digest), false)
    assert.equal(told.view.blobs.size, 2)
  })

  it('a blob that is written in place is told once nobody writes to it any more, with its whole size', async () => {
    const image = await buildImage({ seed: 'in-place', layers: [{ sizeBytes: 400_000 }] })
    await writeOciLayout(path, [])
    const told = await Recording.of(store)
    const { digest, size } = image.layers[0]!
    const bytes = await expectedBytes(image, digest)
    const file = await open(join(path, 'blobs', 'sha256', digestHex(digest)), 'wx')
    for (let offset = 0; offset < size; offset += 50_000) {
      await file.write(bytes.subarray(offset, offset + 50_000))
      await new Promise((resolve) => setTimeout(resolve, 30))
    }
    await file.close()
    await eventually(() => told.view.blobs.has(digest))
    const sizes = told.changes.flatMap((change) =>
      change.type === 'blob-put' ? [change.blob.sizeBytes] : [],
    )
    assert.deepEqual(sizes, [size])
  })

  it('a blob that grows after it was told is taken back until it is settled', async () => {
    const image = await buildImage({ seed: 'grows', layers: [{ sizeBytes: 10 }] })
    await writeOciLayout(path, [{ name: 'registry.test/grows:1', image }])
    const told = await Recording.of(store)
    const { digest, size } = image.layers[0]!
    await appendFile(blobPath(path, digest), 'more')
    await eventually(() => told.changes.some((change) => change.type === 'blob-deleted'))
    await eventually(() => told.view.blobs.get(digest)?.sizeBytes === size + 4)
  })

  it('a blob whose mode changes stays told', async () => {
    const image = await buildImage({ seed: 'mode', layers: [{ sizeBytes: 10 }] })
    await writeOciLayout(path, [{ name: 'registry.test/mode:1', image }])
    const told = await Recording.of(store)
    await chmod(blobPath(path, image.root.digest), 0o600)
    const later = await buildImage({ seed: 'mode-later', layers: [{ sizeBytes: 10 }] })
    const writer = await LayoutWriter.open(path)
    for (const [digest, blob] of later.blobs) await writer.addBlob(blob.bytes(), digest)
    await eventually(() => told.view.blobs.has(later.root.digest))
    assert.ok(!told.changes.some((change) => change.type === 'blob-deleted'))
  })

  it('a blobs folder that is replaced is followed on', async () => {
    await writeOciLayout(path, [])
    const told = await Recording.of(store)
    const blobs = join(path, 'blobs')
    await rename(blobs, join(folder, 'old'))
    await store.audit()
    await mkdir(join(blobs, 'sha256'), { recursive: true })
    const image = await buildImage({ seed: 'replaced', layers: [{ sizeBytes: 10 }] })
    const writer = await LayoutWriter.open(path)
    for (const [digest, blob] of image.blobs) {
      await writer.addBlob(blob.bytes(), digest)
      await eventually(() => told.view.blobs.has(digest))
    }
  })

  it('many changes at once are one snapshot', async () => {
    const writer = await LayoutWriter.open(path)
    const image = await buildImage({ seed: 'many', layers: [{ sizeBytes: 10 }] })
    for (const [digest, blob] of image.blobs) await writer.addBlob(blob.bytes(), digest)
    const told = await Recording.of(store)
    const manifests = Array.from({ length: 1000 }, (_, index) =>
      namedDescriptor(`r.test/a:${index}`, image.root),
    )
    await writeFile(join(path, 'index.new'), JSON.stringify({ manifests }))
    told.changes.length = 0
    await rename(join(path, 'index.new'), join(path, 'index.json'))
    await eventually(() => told.view.images.size === 1000)
    assert.deepEqual(
      told.changes.map((change) => change.type),
      ['snapshot'],
    )
  })
})
