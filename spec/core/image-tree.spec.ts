import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { forEachBounded } from '../../lib/core/bounded.ts'
import type { Digest } from '../../lib/core/digest.ts'
import { type FindNode, walkImage } from '../../lib/core/image-tree.ts'

const digest = (name: string): Digest =>
  `sha256:${Buffer.from(name).toString('hex').padStart(64, '0')}` as Digest

/** A store of nodes by name: indexes name manifests, manifests name leaves. */
function store(nodes: Record<string, { index?: boolean; children?: string[] }>): {
  find: FindNode
  asked: [Digest, boolean][]
} {
  const asked: [Digest, boolean][] = []
  const known = new Map(Object.entries(nodes).map(([name, node]) => [digest(name), node]))
  const find: FindNode = async (wanted, manifest) => {
    asked.push([wanted, manifest])
    const node = known.get(wanted)
    if (node === undefined) return undefined
    const children = manifest ? node.children?.map(digest) : undefined
    return { blob: { digest: wanted, sizeBytes: 1, sources: [], children }, index: node.index === true }
  }
  return { find, asked }
}

describe('walkImage', () => {
  it('finds what is present, each blob once, and names the manifests that are not', async () => {
    const { find, asked } = store({
      index: { index: true, children: ['amd64', 'arm64', 'amd64'] },
      amd64: { children: ['config', 'layer', 'shared', 'gone'] },
      config: {},
      layer: {},
      shared: {},
    })
    const tree = await walkImage(digest('index'), find)
    assert.deepEqual(
      tree.blobs.map((blob) => blob.digest).sort(),
      ['index', 'amd64', 'config', 'layer', 'shared'].map(digest).sort(),
    )
    assert.equal(tree.blobs[0]?.digest, digest('index'))
    assert.deepEqual(tree.absentManifests, [digest('arm64')])
    assert.equal(tree.truncated, false)
    assert.equal(asked.length, 7)
  })

  it('reads configurations and layers as leaves, whatever they hold', async () => {
    const { find, asked } = store({
      manifest: { children: ['layer'] },
      layer: { children: ['trap'] },
      trap: {},
    })
    await walkImage(digest('manifest'), find)
    assert.deepEqual(asked, [
      [digest('manifest'), true],
      [digest('layer'), false],
    ])
  })

  it('an image that is absent is an absent manifest', async () => {
    assert.deepEqual(await walkImage(digest('x'), store({}).find), {
      blobs: [],
      absentManifests: [digest('x')],
      truncated: false,
    })
  })

  it('ends on indexes that name each other', async () => {
    const { find } = store({ a: { index: true, children: ['b'] }, b: { index: true, children: ['a', 'b'] } })
    const tree = await walkImage(digest('a'), find)
    assert.equal(tree.blobs.length, 2)
  })

  it('stops at its bounds and says so', async () => {
    const children = Array.from({ length: 50 }, (_, index) => `layer-${index}`)
    const wide = store({ manifest: { children } })
    const bounds = { maxDigests: 10, maxDepth: 6, concurrency: 2 }
    assert.equal((await walkImage(digest('manifest'), wide.find, bounds)).truncated, true)
    assert.equal(wide.asked.length, 10)
    const chain = Object.fromEntries(
      Array.from({ length: 20 }, (_, index) => [`n${index}`, { index: true, children: [`n${index + 1}`] }]),
    )
    const deep = store(chain)
    assert.equal((await walkImage(digest('n0'), deep.find, { ...bounds, maxDepth: 4 })).truncated, true)
    assert.equal(deep.asked.length, 4)
  })
})

describe('forEachBounded', () => {
  it('runs each item once, never more at a time than asked for', async () => {
    let running = 0
    let most = 0
    const done: number[] = []
    await forEachBounded(Array(20).keys(), 3, async (item) => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      running -= 1
      done.push(item)
    })
    assert.equal(most, 3)
    assert.deepEqual(
      done.sort((a, b) => a - b),
      [...Array(20).keys()],
    )
  })

  it('fails with the first error, begins nothing after it, and waits for what is under way', async () => {
    let running = 0
    let begun = 0
    const work = forEachBounded(Array(100).keys(), 3, async (item) => {
      begun += 1
      running += 1
      await new Promise((resolve) => setImmediate(resolve))
      running -= 1
      if (item === 4) throw new Error('item 4')
    })
    await assert.rejects(work, /item 4/)
    assert.equal(running, 0)
    assert.ok(begun < 10, `${begun} begun`)
  })
})
