import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { createContainerdStore } from '../../lib/containerd/store.ts'
import type { ContentStore, StoreChange } from '../../lib/core/content-store.ts'
import type { Digest } from '../../lib/core/digest.ts'
import { eventually } from '../support/eventually.ts'
import { quietPorts, Recording } from '../support/store-testing.ts'
import { type ScriptedContainerd, startScripted, stringField } from './scripted-containerd.ts'

function digestOf(bytes: Uint8Array): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}` as Digest
}

describe('events, as a scripted containerd sends them', () => {
  let dir: string
  let scripted: ScriptedContainerd
  let store: ContentStore
  let ports: ReturnType<typeof quietPorts>

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'starling-ev-'))
    scripted = await startScripted(join(dir, 'c.sock'))
    ports = quietPorts()
    store = createContainerdStore({
      socket: join(dir, 'c.sock'),
      contentPath: join(dir, 'no-folder'),
      namespaces: ['k8s.io'],
      timing: { settleDelayMs: 100, firstRetryMs: 20 },
      ...ports,
    })
  })
  afterEach(async () => {
    await store.stop()
    scripted.stop()
    await rm(dir, { recursive: true })
  })

  const addBlob = (text: string): Digest => {
    const bytes = Buffer.from(text)
    const digest = digestOf(bytes)
    scripted.state.contents.set(digest, bytes)
    return digest
  }
  /** An image with one layer; returns digests of manifest, configuration and layer. */
  const addImage = (name: string, layerText = name): { target: Digest; config: Digest; layer: Digest } => {
    const config = addBlob(`{"config":"${name}"}`)
    const layer = addBlob(layerText)
    const target = addBlob(
      JSON.stringify({ schemaVersion: 2, config: { digest: config }, layers: [{ digest: layer }] }),
    )
    scripted.state.images.set(name, target)
    return { target, config, layer }
  }
  const listings = (): number => scripted.calls.get('imageList') ?? 0
  /** Once the listing after the start is done, only events can bring anything. */
  const settled = async (): Promise<Recording> => {
    const told = await Recording.of(store)
    await eventually(() => listings() >= 2)
    await store.audit()
    return told
  }

  it('a blob is told as soon as it is committed where containerd says so', async () => {
    const told = await settled()
    const before = listings()
    const digest = addBlob('committed before its image')
    scripted.state.labels.set(digest, { 'containerd.io/distribution.source.docker.io': 'library/app' })
    scripted.tell('/content/create', digest)
    await eventually(() => told.view.blobs.has(digest))
    assert.deepEqual(told.changes.at(-1), {
      type: 'blob-put',
      blob: { digest, sizeBytes: 26, sources: ['docker.io'], children: undefined },
    })
    scripted.state.contents.delete(digest)
    scripted.tell('/content/delete', digest)
    await eventually(() => !told.view.blobs.has(digest))
    assert.equal(listings(), before)
  })

  it('a manifest that an index waited for brings its children', async () => {
    const told = await settled()
    const layer = addBlob('late layer')
    const config = addBlob('{"late":1}')
    const manifest = JSON.stringify({ config: { digest: config }, layers: [{ digest: layer }] })
    const index = addBlob(JSON.stringify({ manifests: [{ digest: digestOf(Buffer.from(manifest)) }] }))
    scripted.state.images.set('registry.test/late:1', index)
    scripted.tell('/images/create', 'registry.test/late:1')
    await eventually(() => told.target('registry.test/late:1'))
    const digest = addBlob(manifest)
    scripted.tell('/content/create', digest)
    await eventually(() => told.view.blobs.get(digest))
    assert.deepEqual(told.view.blobs.get(digest)?.children, [config, layer])
  })

  it('repeated, reordered and stale events tell what is, not what was said', async () => {
    const told = await settled()
    const { target } = addImage('registry.test/a:1')
    scripted.tell('/images/delete', 'registry.test/a:1')
    scripted.tell('/images/update', 'registry.test/a:1')
    scripted.tell('/images/create', 'registry.test/a:1')
    scripted.tell('/images/create', 'registry.test/never:1')
    await eventually(() => told.target('registry.test/a:1') === target)
    const { layer } = addImage('registry.test/b:1')
    scripted.tell('/images/create', 'registry.test/b:1')
    await eventually(() => told.view.blobs.has(layer))
    assert.deepEqual(
      told.changes.filter((change) => change.type === 'image-put').map((change) => change.image.name),
      ['registry.test/a:1', 'registry.test/b:1'],
    )
    assert.ok(!told.changes.some((change) => change.type === 'image-deleted'))
  })

  it('what changed while the events were interrupted is in the next snapshot', async () => {
    const told = await settled()
    addImage('registry.test/kept:1')
    scripted.breakEvents()
    const { target } = addImage('registry.test/missed:1')
    await eventually(() => scripted.subscribers() === 1)
    await eventually(() => told.target('registry.test/missed:1') === target)
    assert.equal(told.changes.at(-1)?.type, 'snapshot')
  })

  it('an image that came between the subscription and its effect is found by the second listing', async () => {
    const told = await Recording.of(store)
    const { target } = addImage('registry.test/gap:1')
    await eventually(() => told.target('registry.test/gap:1') === target)
  })

  it('ten thousand images at once cost a few listings, and a slow listener no memory', async () => {
    const sizes: number[] = []
    const told = new Recording()
    await store.start(async (change: StoreChange) => {
      sizes.push(change.type === 'snapshot' ? change.images.length : 1)
      told.hear(change)
      await new Promise((resolve) => setTimeout(resolve, 5))
    })
    await eventually(() => told.changes.length > 0)
    for (let index = 0; index < 10_000; index += 1) {
      addImage(`registry.test/burst:${index}`, 'one layer for all')
      scripted.tell('/images/create', `registry.test/burst:${index}`)
    }
    await eventually(() => told.view.images.size === 10_000, { timeoutMs: 60_000 })
    assert.ok(listings() <= 10, `${listings()} listings`)
    assert.ok((scripted.calls.get('imageGet') ?? 0) <= 2000, `${scripted.calls.get('imageGet')} look-ups`)
  })

  it('nonsense in events, names, digests and labels is left out and harms nothing', async () => {
    scripted.state.images.set('registry.test/short:1', 'sha256:12')
    scripted.state.images.set('registry.test/other-hash:1', `sha512:${'0'.repeat(128)}`)
    scripted.state.images.set('x'.repeat(5000), `sha256:${'0'.repeat(64)}`)
    scripted.state.contents.set('sha256:../../etc/passwd', Buffer.from('x'))
    const labelled = addBlob('labelled')
    scripted.state.labels.set(labelled, {
      'containerd.io/distribution.source.': 'x',
      'containerd.io/distribution.source.../..': 'x',
      'containerd.io/distribution.source.ok.test': 'x',
      __proto__: 'x',
    })
    const told = await settled()
    assert.equal(told.view.images.size, 0)
    assert.deepEqual([...told.view.blobs.keys()], [labelled])
    assert.deepEqual(told.view.blobs.get(labelled)?.sources, ['ok.test'])
    scripted.emit('/images/create', Buffer.from([10, 255]))
    scripted.emit('/images/create', new Uint8Array())
    scripted.emit('/content/create', stringField('sha256:nonsense'))
    scripted.emit('/tasks/oom', stringField('registry.test/a:1'))
    scripted.emit('/images/create', stringField('registry.test/foreign:1'), 'other-namespace')
    const { target } = addImage('registry.test/fine:1')
    scripted.tell('/images/create', 'registry.test/fine:1')
    await eventually(() => told.target('registry.test/fine:1') === target)
    assert.ok(ports.lines.some((line) => line.message === 'an event does not decode'))
    assert.equal(store.status().state, 'connected')
  })

  it('an index of forty thousand digests is walked within its bounds', async () => {
    const manifests = Array.from({ length: 40_000 }, (_, index) => ({
      digest: `sha256:${index.toString(16).padStart(64, '0')}`,
    }))
    const target = addBlob(JSON.stringify({ manifests }))
    scripted.state.images.set('registry.test/huge:1', target)
    const told = await settled()
    assert.equal(told.target('registry.test/huge:1'), target)
    assert.ok(told.view.blobs.has(target))
    assert.ok(ports.lines.some((line) => /an image is too large/.test(line.message)))
  })

  it('an index that names nothing has no children', async () => {
    const told = await settled()
    const digest = addBlob('{"manifests":[]}')
    scripted.state.images.set('registry.test/nothing:1', digest)
    scripted.tell('/images/create', 'registry.test/nothing:1')
    await eventually(() => told.target('registry.test/nothing:1') === digest)
    assert.deepEqual(told.view.blobs.get(digest)?.children, [])
  })

  it('a listener that fails is told everything again', async () => {
    let failures = 1
    const told = new Recording()
    const { target } = addImage('registry.test/again:1')
    await store.start((change) => {
      if (failures-- > 0) throw new Error('not now')
      told.hear(change)
    })
    await eventually(() => told.target('registry.test/again:1') === target)
    assert.equal(told.changes[0]?.type, 'snapshot')
    assert.ok(ports.lines.some((line) => line.message === 'a change of the store was not taken'))
  })
})
