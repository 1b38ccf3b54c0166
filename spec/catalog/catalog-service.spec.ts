import assert from 'node:assert/strict'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { createEpochFile } from '../../lib/app/catalog/epoch.ts'
import { encodeDelta } from '../../lib/catalog/delta.ts'
import type { StoreChange } from '../../lib/core/content-store.ts'
import { StarlingError } from '../../lib/core/errors.ts'
import { eventually } from '../support/eventually.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { makeNode, quiet } from './catalog-node.ts'
import { digestOf, makeIdentity, registry, TestOrigin, tagPair } from './support.ts'

function imagePut(name: string, content: string): StoreChange {
  const digest = digestOf(content)
  return {
    type: 'image-put',
    image: { namespace: 'k8s.io', name, target: digest },
    blobs: [{ digest, sizeBytes: 1, sources: [], children: [] }],
  }
}

describe('what the catalog says of a broadcast message', () => {
  it('each outcome is counted, and only what no honest node sends is rejected', async () => {
    const node = makeNode()
    await node.catalog.start()
    const origin = new TestOrigin()
    const first = origin.step({ add: [digestOf('a')] })
    assert.equal(node.outcome(encodeDelta(first)), 'unknown-origin ignore')
    node.catalog.setOriginState(origin.peerId, 'live')
    const second = origin.step({ add: [digestOf('b')] })
    const third = origin.step({ add: [digestOf('c')] })
    assert.equal(node.outcome(encodeDelta(first)), 'applied accept')
    assert.equal(node.outcome(encodeDelta(first)), 'duplicate accept')
    assert.equal(node.outcome(encodeDelta(third)), 'gap accept')
    assert.equal(node.outcome(encodeDelta(second)), 'applied accept')
    assert.equal(node.catalog.findHolders(registry, digestOf('c'), 1).holders, 1, 'the early one was kept')
    assert.equal(node.outcome(encodeDelta(first)), 'reordered accept')
    const other = new TestOrigin()
    node.catalog.setOriginState(other.peerId, 'live')
    assert.equal(node.outcome(encodeDelta({ ...first, origin: other.identity.publicKey })), 'forged reject')
    assert.equal(
      node.outcome(encodeDelta({ ...first, checkpoint: { ...first.checkpoint, sequence: 9 } })),
      'forged reject',
    )
    assert.equal(node.outcome(new Uint8Array(70_000)), 'too-large reject')
    assert.equal(node.outcome(Uint8Array.of(1, 255, 255)), 'malformed reject')
    assert.equal(node.outcome(encodeDelta({ ...first, registry: 'other.example' })), 'wrong-topic reject')
    assert.equal(node.outcome(Uint8Array.of(2, 1)), 'reserved ignore')
    assert.equal(node.outcome(encodeDelta(first), 'not.mirrored'), 'not-mirrored ignore')
    const lie = origin.step({ add: [digestOf('d')] })
    const change = { ...lie.change!, addDigests: new Uint8Array(32) }
    assert.equal(node.outcome(encodeDelta({ ...lie, change })), 'wrong-set-hash ignore')
    assert.equal(node.outcome(encodeDelta(lie)), 'applied accept')
    await node.catalog.stop()
  })

  it('an origin that has proved no membership is ignored, whoever vouches for it', async () => {
    const node = makeNode({ isAttested: () => false })
    await node.catalog.start()
    const origin = new TestOrigin()
    node.catalog.setOriginState(origin.peerId, 'live')
    assert.equal(node.outcome(encodeDelta(origin.step({}))), 'unknown-origin ignore')
    await node.catalog.stop()
  })

  it('a masked origin is heard but is nobody’s candidate, and a forgotten one leaves nothing', async () => {
    const node = makeNode()
    await node.catalog.start()
    const origin = new TestOrigin()
    node.catalog.setOriginState(origin.peerId, 'masked')
    node.receive(encodeDelta(origin.step({ add: [digestOf('a')] })))
    assert.equal(node.catalog.findHolders(registry, digestOf('a'), 1).holders, 0)
    assert.equal(node.catalog.digestCountOf(origin.peerId), 1)
    node.catalog.setOriginState(origin.peerId, 'live')
    assert.deepEqual(node.catalog.findHolders(registry, digestOf('a'), 1).peers, [origin.peerId])
    node.catalog.setOriginState(origin.peerId, 'forgotten')
    assert.equal(node.catalog.findHolders(registry, digestOf('a'), 1).holders, 0)
    assert.equal(node.catalog.digestCountOf(origin.peerId), 0)
    await node.catalog.stop()
  })

  it('a newer state of the own inventory, signed by this node, begins an epoch above it', async () => {
    const identity = makeIdentity()
    const node = makeNode(identity)
    await node.catalog.start()
    await node.catalog.applyStoreChange(imagePut(`${registry}/app:1`, 'a'))
    await eventually(() => node.published.length === 1)
    const twin = new TestOrigin(identity)
    twin.epoch = 40
    assert.equal(node.outcome(encodeDelta(twin.step({ add: [digestOf('z')] }))), 'own accept')
    const raised = await eventually(() => node.published[1])
    assert.equal(raised.checkpoint.epoch, 41)
    assert.equal(raised.checkpoint.sequence, 1)
    assert.equal(node.catalog.findHolders(registry, digestOf('z'), 1).holders, 0)
    await node.catalog.stop()
  })
})

describe('what the catalog announces', () => {
  it('nothing before the store has told; then one delta from nothing, and batches after it', async () => {
    const node = makeNode()
    await node.catalog.start()
    await node.catalog.applyStoreChange({ type: 'snapshot', images: [], blobs: [] })
    const [first] = await eventually(() => (node.published.length === 1 ? node.published : undefined))
    assert.equal(first?.checkpoint.sequence, 1)
    assert.equal(first?.checkpoint.count, 0)
    const startedMs = performance.now()
    for (let image = 0; image < 20; image += 1) {
      await node.catalog.applyStoreChange(imagePut(`${registry}/app:${image}`, `c${image}`))
    }
    await eventually(() => node.published.at(-1)?.checkpoint.count === 40)
    const most = 3 + Math.floor((performance.now() - startedMs) / 100)
    assert.ok(node.published.length <= most, `${node.published.length} messages for 20 changes`)
    await node.catalog.stop()
  })

  it('content of the registries that it mirrors only, and excluded tags not at all', async () => {
    const node = makeNode()
    await node.catalog.start()
    await node.catalog.applyStoreChange(imagePut('elsewhere.example/app:1', 'a'))
    await node.catalog.applyStoreChange(imagePut(`${registry}/app:latest`, 'b'))
    const delta = await eventually(() => node.published.at(-1))
    assert.equal(delta.checkpoint.count, 1)
    assert.deepEqual(delta.change?.addTags, [])
    assert.deepEqual([...node.topics], [registry])
    assert.deepEqual(node.catalog.findTag(registry, 'app', 'latest'), { state: 'unknown' })
    assert.equal(node.catalog.registryOf('app'), registry)
    assert.ok(node.catalog.hasLocal(registry, digestOf('b')))
    assert.ok(!node.catalog.hasLocal(registry, digestOf('a')))
    await node.catalog.stop()
  })

  it('a registry that is dropped and mirrored again gets a new epoch, so that no sequence is used twice', async () => {
    const node = makeNode()
    await node.catalog.start()
    await node.catalog.applyStoreChange(imagePut(`${registry}/app:1`, 'a'))
    await eventually(() => node.published.length === 1)
    node.catalog.setMirrors({ names: [], wildcard: false })
    assert.deepEqual([...node.topics], [])
    assert.deepEqual(node.catalog.summaries(), [])
    node.catalog.setMirrors({ names: [registry], wildcard: false })
    const again = await eventually(() => node.published[1])
    assert.equal(again.checkpoint.epoch, 2)
    assert.equal(again.checkpoint.sequence, 1)
    assert.equal(again.checkpoint.count, 2)
    await node.catalog.stop()
  })

  it('can be started again where the epoch could not be kept at first', async () => {
    let full = true
    const node = makeNode({
      epochs: {
        load: async () => 0,
        save: async () => {
          if (full) throw new StarlingError('DISK_FULL', 'no space')
        },
      },
    })
    await assert.rejects(node.catalog.start(), { code: 'DISK_FULL' })
    full = false
    await node.catalog.start()
    await node.catalog.applyStoreChange(imagePut(`${registry}/app:1`, 'a'))
    await eventually(() => node.published.length === 1)
    await node.catalog.stop()
  })
})

describe('what the catalog answers', () => {
  it('summaries, tags and repositories count live nodes and this one', async () => {
    const node = makeNode({ mirrors: { names: [registry, 'docker.io'], wildcard: false } })
    const changes: string[] = []
    node.catalog.onChanged((name) => changes.push(name))
    await node.catalog.start()
    await node.catalog.applyStoreChange(imagePut(`${registry}/app:1`, 'a'))
    await eventually(() => node.published.length >= 1 && node.catalog.allTags().length === 1)
    const origin = new TestOrigin()
    node.catalog.setOriginState(origin.peerId, 'live')
    const pairs = [tagPair('app', '1', digestOf('b')), tagPair('lib/x', '2', digestOf('b'))]
    node.receive(encodeDelta(origin.step({ add: [digestOf('b')], tag: pairs })))
    assert.deepEqual(node.catalog.repositories(registry), ['app', 'lib/x'])
    assert.deepEqual(node.catalog.tags(registry, 'lib/x'), ['2'])
    assert.equal(node.catalog.findTag(registry, 'app', '1').state, 'disputed')
    assert.equal(node.catalog.registryOf('lib/x'), registry)
    assert.equal(node.catalog.registryOf('nothing/here'), undefined)
    await node.catalog.applyStoreChange(imagePut('docker.io/lib/x:1', 'q'))
    assert.equal(node.catalog.registryOf('lib/x'), 'ambiguous')
    const summary = await eventually(() =>
      node.catalog.summaries().find((entry) => entry.registry === registry && entry.tags === 2),
    )
    assert.deepEqual(summary, {
      registry,
      origins: 2,
      localDigests: 1,
      localTags: 1,
      localImages: 1,
      digests: 2,
      tags: 2,
      disputedTags: 1,
    })
    const tags = node.catalog.allTags().filter((tag) => tag.registry === registry)
    assert.equal(tags.length, 3)
    assert.deepEqual(tags.at(-1)?.holders, [origin.peerId])
    assert.ok(changes.includes(registry))
    await node.catalog.stop()
  })
})

describe('the file that keeps the epoch', () => {
  it('gives back what was saved, and 0 where there is none or it is damaged', async () => {
    await using folder = await tempFolder()
    const dir = folder.path
    const file = createEpochFile(dir, quiet)
    assert.equal(await file.load(), 0)
    await file.save(7)
    assert.equal(await file.load(), 7)
    assert.equal(await readFile(join(dir, 'catalog-epoch'), 'utf8'), '7\n')
    for (const damage of ['', 'x', '-1', '1'.repeat(500), '7\u0000']) {
      await writeFile(join(dir, 'catalog-epoch'), damage)
      assert.equal(await file.load(), 0)
    }
  })

  it('that cannot be read or written is an error that names it', async () => {
    await using folder = await tempFolder()
    const dir = folder.path
    await mkdir(join(dir, 'catalog-epoch'))
    const file = createEpochFile(dir, quiet)
    await assert.rejects(file.load(), /catalog-epoch cannot be read/)
    await assert.rejects(file.save(1), /catalog-epoch cannot be written/)
    await rm(dir, { recursive: true })
    await writeFile(dir, '')
    await assert.rejects(createEpochFile(dir, quiet).save(1), { code: 'CONFIG_INVALID' })
    await rm(dir)
  })
})
