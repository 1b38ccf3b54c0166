import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { readMemoryFile, writeMemoryFile } from '../../lib/app/catalog/memory-file.ts'
import { encodeDelta } from '../../lib/catalog/delta.ts'
import { eventually } from '../support/eventually.ts'
import { type TempFolder, tempFolder } from '../support/temp-folder.ts'
import { makeNode } from './catalog-node.ts'
import { digestOf, makeIdentity, registry, TestOrigin, tagPair } from './support.ts'

let folder: TempFolder
before(async () => {
  folder = await tempFolder('catalog-memory')
})
after(() => folder[Symbol.asyncDispose]())

async function* frames(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text)
}

describe('the file that keeps the catalog', () => {
  it('gives back what was written, and nothing where there is none', async () => {
    const path = join(folder.path, 'whole')
    assert.deepEqual(await readMemoryFile(path), [])
    await writeMemoryFile(path, frames('one', 'two', 'x'.repeat(100_000)))
    assert.deepEqual(
      (await readMemoryFile(path)).map((frame) => frame.length),
      [3, 3, 100_000],
    )
    assert.equal((await stat(path)).mode & 0o777, 0o600)
  })

  it('is refused where a bit is flipped, the end is missing, or it is a pipe', async () => {
    const path = join(folder.path, 'damaged')
    await writeMemoryFile(path, frames('some', 'frames'))
    const bytes = await readFile(path)
    for (let at = 0; at < bytes.length; at += 1) {
      const flipped = Buffer.from(bytes)
      flipped[at]! ^= 4
      await writeFile(path, flipped)
      await assert.rejects(readMemoryFile(path), { code: 'WIRE_MALFORMED' })
    }
    await writeFile(path, bytes)
    await truncate(path, bytes.length - 1)
    await assert.rejects(readMemoryFile(path), { code: 'WIRE_MALFORMED' })
    const pipe = join(folder.path, 'pipe')
    execFileSync('mkfifo', [pipe])
    await assert.rejects(readMemoryFile(pipe), { code: 'WIRE_MALFORMED' })
  })

  it('stays as it was where the new one cannot be written whole', async () => {
    const path = join(folder.path, 'kept')
    await writeMemoryFile(path, frames('old'))
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('new')
      throw new Error('the disk is full')
    }
    await assert.rejects(writeMemoryFile(path, failing()), /disk is full/)
    assert.deepEqual(await readMemoryFile(path), [Buffer.from('old')])
    await assert.rejects(stat(`${path}.new`), { code: 'ENOENT' })
  })
})

describe('a catalog that restarts', () => {
  const keep = async (path: string) => {
    const identity = makeIdentity()
    const origin = new TestOrigin()
    const first = makeNode({ ...identity, memoryPath: path })
    await first.catalog.start()
    first.catalog.setOriginState(origin.peerId, 'live')
    const digest = digestOf('layer')
    first.receive(encodeDelta(origin.step({ add: [digest], tag: [tagPair('app', '1', digest)] })))
    assert.equal(first.catalog.findHolders(registry, digest, 1).holders, 1)
    await first.catalog.stop()
    return { identity, origin, digest }
  }

  it('knows what others hold as soon as they are members again, and asks nobody for it', async () => {
    const path = join(folder.path, 'catalog')
    const { identity, origin, digest } = await keep(path)
    const second = makeNode({ ...identity, memoryPath: path })
    await second.catalog.start()
    assert.equal(second.catalog.findHolders(registry, digest, 1).holders, 0, 'it is no member yet')
    second.catalog.setOriginState(origin.peerId, 'live')
    await eventually(() => second.catalog.findHolders(registry, digest, 1).holders === 1)
    await eventually(() => second.catalog.findTag(registry, 'app', '1').state === 'agreed')
    assert.equal(second.outcome(encodeDelta(origin.step({ add: [digestOf('next')] }))), 'applied accept')
    await second.catalog.stop()
  })

  it('takes nothing of who is no member, and nothing that its origin has not signed', async () => {
    const path = join(folder.path, 'catalog-of-others')
    const { identity, origin, digest } = await keep(path)
    const second = makeNode({
      ...identity,
      memoryPath: path,
      mirrors: { names: ['other.example'], wildcard: false },
    })
    await second.catalog.start()
    second.catalog.setOriginState(origin.peerId, 'live')
    second.catalog.setMirrors({ names: [registry], wildcard: false })
    await eventually(() => second.catalog.findHolders(registry, digest, 1).holders === 1)
    await second.catalog.stop()
    const refusing = makeNode({ ...identity, memoryPath: path, isAttested: () => false })
    await refusing.catalog.start()
    refusing.catalog.setOriginState(origin.peerId, 'live')
    await eventually(() => refusing.counts.get('starling_catalog_recalled_total unknown-origin') === 1)
    await refusing.catalog.stop()
  })

  it('goes on without a file that is damaged', async () => {
    const path = join(folder.path, 'catalog-damaged')
    const { identity, origin, digest } = await keep(path)
    await truncate(path, 40)
    const second = makeNode({ ...identity, memoryPath: path })
    await second.catalog.start()
    second.catalog.setOriginState(origin.peerId, 'live')
    assert.equal(second.catalog.findHolders(registry, digest, 1).holders, 0)
    await second.catalog.stop()
  })
})
