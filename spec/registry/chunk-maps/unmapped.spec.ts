import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import type { CredentialSet } from '../../../lib/core/credentials.ts'
import type { Digest } from '../../../lib/core/digest.ts'
import { heldTailSizeBytes } from '../../../lib/registry/body-check.ts'
import { LocalMapMaker } from '../../../lib/registry/chunk-maps/local-map.ts'
import { MapFolder } from '../../../lib/registry/chunk-maps/map-folder.ts'
import { eventually } from '../../support/eventually.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { makeTestCluster } from '../../support/test-trust.ts'
import { blobPath, candidateOf, digestOf, fetchFrom, SpecControl, startPlane } from '../harness.ts'
import { lieAt, startScriptedHolder } from './lying-holders.ts'

/** Blobs of more than 64 MiB are not hashed before their first byte leaves. */
const sizeBytes = 64 * 2 ** 20 + 12_345
const blob = createHash('shake256', { outputLength: sizeBytes }).update('unmapped').digest()
const digest = digestOf(blob)
const flippedAt = 30_000_000
const folder = await tempFolder('unmapped')

let cluster: Map<string, CredentialSet>
const node = (name: string): CredentialSet => cluster.get(name) as CredentialSet

before(async () => {
  cluster = await makeTestCluster({ nodes: ['asking', 'holder', 'second'].map((name) => ({ name })) })
})
after(() => folder[Symbol.asyncDispose]())

/** Makes the map as the background does. */
class Mapping extends SpecControl {
  readonly #folder: MapFolder
  #asked = false

  constructor(path: string) {
    super()
    this.#folder = new MapFolder(path)
  }

  unmapped(): void {
    if (this.#asked) return
    this.#asked = true
    const maker = new LocalMapMaker(digest, '')
    maker.update(blob)
    const map = maker.finish()
    if (map !== undefined) void this.#folder.save(map)
  }
}

class Recording extends SpecControl {
  readonly damagedBlobs: Digest[] = []
  readonly unmappedBlobs: Digest[] = []

  damaged(one: Digest): void {
    this.damagedBlobs.push(one)
  }

  unmapped(one: Digest): void {
    this.unmappedBlobs.push(one)
  }
}

async function startHolder(name: string, host: string, flipped: boolean) {
  const control = new Recording()
  const plane = await startPlane(node(name), { host, control, mapsPath: folder.path })
  const bytes = Buffer.from(blob)
  if (flipped) bytes[flippedAt] = (bytes[flippedAt] ?? 0) ^ 1
  control.local.put(blob)
  control.local.blobs.set(digest, bytes)
  const checked = (how: string) => plane.metrics.counts.get(`starling_integrity_served_total ${how}`) ?? 0
  return {
    control,
    checked,
    endpoint: plane.endpoint,
    candidate: candidateOf(node(name), plane.endpoint),
    [Symbol.asyncDispose]: () => plane[Symbol.asyncDispose](),
  }
}

test('a large blob without a map is hashed as it leaves: a flipped bit ends the body before its last piece', async () => {
  await using holder = await startHolder('holder', '127.0.17.1', true)
  const answer = await fetchFrom(holder.endpoint, node('asking'), blobPath(digest), {
    headers: { 'starling-hop': '1' },
  })
  assert.equal(answer.end, 'early')
  assert.equal(answer.body.length, sizeBytes - heldTailSizeBytes)
  assert.equal(holder.checked('held-tail'), 1)
  assert.deepEqual(holder.control.damagedBlobs, [digest])
  assert.ok(holder.control.unmappedBlobs.includes(digest), 'a map is asked for')
})

test('a part of it can not be checked by the holder, which is counted', async () => {
  await using holder = await startHolder('holder', '127.0.17.1', true)
  const answer = await fetchFrom(holder.endpoint, node('asking'), blobPath(digest), {
    headers: { 'starling-hop': '1', range: 'bytes=0-99' },
  })
  assert.equal(answer.status, 206)
  assert.equal(holder.checked('unchecked'), 1)
})

test('beside a right copy the body is right or ends early, and only the holder of the wrong byte may be condemned', async () => {
  await using holder = await startHolder('holder', '127.0.17.2', true)
  await using second = await startHolder('second', '127.0.17.3', false)
  await using asking = await startPlane(node('asking'), { host: '127.0.17.1' })
  asking.control.candidates = [holder.candidate, second.candidate]
  const answer = await fetchFrom(asking.endpoint, node('asking'), blobPath(digest))
  assert.ok(answer.end === 'early' || answer.body.equals(blob))
  const wrong = asking.control.transfers.filter((report) => report.wrong !== undefined)
  assert.ok(wrong.every(({ peerId }) => peerId === node('holder').peerId))
  assert.ok(
    asking.control.transfers.every(
      ({ outcome, wrong: proof }) => (outcome === 'wrong-bytes') === (proof !== undefined),
    ),
  )
})

test('a liar beside a holder that is still making its map: no wrong byte leaves, and the liar is found', async () => {
  await using maps = await tempFolder('unmapped-fresh')
  const { bytes, map } = lieAt(blob, flippedAt)
  await using liar = await startScriptedHolder(node('holder'), '127.0.17.2', blob, {
    parts: bytes,
    whole: bytes,
    map,
  })
  const control = new Mapping(maps.path)
  await using honest = await startPlane(node('second'), {
    host: '127.0.17.3',
    control,
    mapsPath: maps.path,
  })
  control.local.put(blob)
  await using asking = await startPlane(node('asking'), { host: '127.0.17.1' })
  asking.control.candidates = [liar.candidate, candidateOf(node('second'), honest.endpoint)]
  const answer = await fetchFrom(asking.endpoint, node('asking'), blobPath(digest))
  const counted = (how: string) => asking.metrics.counts.get(`starling_integrity_received_total ${how}`) ?? 0
  // On a machine that is so slow that the map is too late, the digest must do, which is counted.
  if (counted('digest') === 0) {
    assert.equal(counted('tied'), 1)
    assert.equal(answer.status, 404)
  }
  await eventually(
    () => asking.control.transfers.some(({ peerId, wrong }) => wrong && peerId === node('holder').peerId),
    { what: 'the liar is found', timeoutMs: 60_000 },
  )
  assert.ok(asking.control.transfers.every(({ peerId, wrong }) => !wrong || peerId !== node('second').peerId))
})
