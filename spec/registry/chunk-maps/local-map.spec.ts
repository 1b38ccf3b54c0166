import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { digestHex } from '../../../lib/core/digest.ts'
import {
  blockIsRight,
  blockSizeBytes,
  decodeLocalMap,
  encodeLocalMap,
  type LocalMap,
  LocalMapMaker,
} from '../../../lib/registry/chunk-maps/local-map.ts'
import { MapFolder } from '../../../lib/registry/chunk-maps/map-folder.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { digestOf } from '../harness.ts'

const blob = createHash('shake256', { outputLength: 2_500_000 }).update('local').digest()
const digest = digestOf(blob)

function makeMap(): LocalMap {
  const maker = new LocalMapMaker(digest, '123')
  for (let at = 0; at < blob.length; at += 70_001) maker.update(blob.subarray(at, at + 70_001))
  return maker.finish() as LocalMap
}

test('a flipped bit anywhere makes its block wrong, and no other one', () => {
  const local = makeMap()
  for (const at of [0, blockSizeBytes - 1, blockSizeBytes, blob.length - 1]) {
    const bad = Buffer.from(blob)
    bad[at] = (bad[at] ?? 0) ^ 4
    for (let index = 0; index * blockSizeBytes < blob.length; index++) {
      const block = bad.subarray(index * blockSizeBytes, (index + 1) * blockSizeBytes)
      assert.equal(blockIsRight(local, index, block), Math.floor(at / blockSizeBytes) !== index)
    }
  }
})

test('a map file that was changed anywhere is not believed', () => {
  const good = Buffer.from(encodeLocalMap(makeMap()))
  assert.deepEqual(decodeLocalMap(good, digest), makeMap())
  for (let at = 0; at < good.length; at += 37) {
    const bad = Buffer.from(good)
    bad[at] = (bad[at] ?? 0) ^ 1
    assert.throws(() => decodeLocalMap(bad, digest), { code: 'WIRE_MALFORMED' })
    assert.throws(() => decodeLocalMap(good.subarray(0, at), digest), { code: 'WIRE_MALFORMED' })
  }
})

test('maps are kept, and go with their blobs; what else lies in the folder goes too', async () => {
  await using dir = await tempFolder('maps')
  const folder = new MapFolder(join(dir.path, 'chunk-maps'))
  assert.equal(await folder.load(digest), undefined)
  await folder.save(makeMap())
  await folder.save(makeMap())
  assert.deepEqual(await folder.load(digest), makeMap())
  await writeFile(join(dir.path, 'chunk-maps', `${digestHex(digest)}.left-over`), 'x')
  assert.equal(await folder.prune(() => true), 1)
  assert.deepEqual(await readdir(join(dir.path, 'chunk-maps')), [digestHex(digest)])
  assert.equal(await folder.prune(() => false), 1)
  assert.equal(await folder.load(digest), undefined)
})
