import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import type { CredentialSet } from '../../../lib/core/credentials.ts'
import { LocalMapMaker } from '../../../lib/registry/chunk-maps/local-map.ts'
import { MapFolder } from '../../../lib/registry/chunk-maps/map-folder.ts'
import { eventually } from '../../support/eventually.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { makeTestCluster } from '../../support/test-trust.ts'
import { blobPath, candidateOf, digestOf, fetchFrom, startPlane } from '../harness.ts'
import { misbehaviours, startHostilePeer } from '../hostile-peer.ts'
import { lieAt, startScriptedHolder } from './lying-holders.ts'

const sizeBytes = 24 * 2 ** 20 + 11
const blob = createHash('shake256', { outputLength: sizeBytes }).update('all at once').digest()
const digest = digestOf(blob)

test('one holder stalls, one dies, one lies, and one has a flipped byte on its disk, all in one transfer: the bytes are right', async () => {
  await using stack = new AsyncDisposableStack()
  const folder = stack.use(await tempFolder('all-at-once'))
  const names = ['asking', 'stalling', 'dying', 'liar', 'damaged', 'honest-1', 'honest-2']
  const cluster = await makeTestCluster({ nodes: names.map((name) => ({ name })) })
  const node = (name: string): CredentialSet => cluster.get(name) as CredentialSet
  const maker = new LocalMapMaker(digest, '')
  maker.update(blob)
  const local = maker.finish()
  assert.ok(local !== undefined)
  await new MapFolder(folder.path).save(local)

  const stalling = stack.use(
    await startHostilePeer(node('stalling'), '127.0.18.2', blob, misbehaviours['stalls in the middle']),
  )
  const dying = stack.use(
    await startHostilePeer(node('dying'), '127.0.18.3', blob, misbehaviours['dies in the middle']),
  )
  const { bytes, map } = lieAt(blob, 13_000_000)
  const script = { parts: bytes, whole: bytes, map }
  const liar = stack.use(await startScriptedHolder(node('liar'), '127.0.18.4', blob, script))
  const holders = []
  for (const [index, name] of ['damaged', 'honest-1', 'honest-2'].entries()) {
    const options = { host: `127.0.18.${5 + index}`, mapsPath: folder.path }
    const plane = stack.use(await startPlane(node(name), options))
    plane.control.local.put(blob)
    holders.push({ plane, candidate: candidateOf(node(name), plane.endpoint) })
  }
  const flipped = Buffer.from(blob)
  // In every block: wherever it is asked, it finds the damage.
  for (let at = 100_000; at < flipped.length; at += 2 ** 18) flipped[at] = (flipped[at] ?? 0) ^ 1
  holders[0]?.plane.control.local.blobs.set(digest, flipped)

  const asking = stack.use(
    await startPlane(node('asking'), { host: '127.0.18.1', limits: { openBudgetMs: 60_000 } }),
  )
  asking.control.candidates = [
    candidateOf(node('stalling'), stalling.endpoint),
    candidateOf(node('dying'), dying.endpoint),
    liar.candidate,
    ...holders.map(({ candidate }) => candidate),
  ]
  const answer = await fetchFrom(asking.endpoint, node('asking'), blobPath(digest))
  const whole = answer.end === 'complete' && answer.body.equals(blob)
  // On a machine so slow that too few maps came in time nobody is believed, or the digest alone: never wrong bytes that look whole.
  const mapped = asking.metrics.counts.get('starling_integrity_received_total pieces') !== undefined
  assert.ok(mapped ? whole : whole || answer.status === 404 || answer.end === 'early')
  const condemned = (): string[] =>
    asking.control.transfers.filter(({ wrong }) => wrong !== undefined).map(({ peerId }) => peerId)
  await eventually(() => condemned().length > 0, { what: 'the liar is found', timeoutMs: 60_000 })
  assert.ok(condemned().every((peerId) => peerId === node('liar').peerId))
})
