import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { before, test } from 'node:test'
import { type ChunkMap, ChunkMapMaker, encodeChunkMap } from '../../../lib/core/chunk-map.ts'
import type { CredentialSet } from '../../../lib/core/credentials.ts'
import { eventually } from '../../support/eventually.ts'
import { makeTestCluster } from '../../support/test-trust.ts'
import { blobPath, type ClientAnswer, digestOf, fetchFrom, startPlane } from '../harness.ts'
import { type HolderScript, lieAt, startScriptedHolder } from './lying-holders.ts'

const sizeBytes = 12 * 2 ** 20 + 77
const blob = createHash('shake256', { outputLength: sizeBytes }).update('disputes').digest()
const digest = digestOf(blob)
const maker = new ChunkMapMaker(digest)
maker.update(blob)
const map = encodeChunkMap(maker.finish() as ChunkMap)

const honest: HolderScript = { parts: blob, whole: blob, map }
const honestWithoutMap: HolderScript = { parts: blob, whole: blob }

function liar(at: number, how: Partial<HolderScript> = {}): HolderScript {
  const lie = lieAt(blob, at)
  return { parts: lie.bytes, whole: lie.bytes, map: lie.map, ...how }
}

const names = ['asking', 'holder-1', 'holder-2', 'holder-3', 'holder-4']
let cluster: Map<string, CredentialSet>
const node = (name: string): CredentialSet => cluster.get(name) as CredentialSet

before(async () => {
  cluster = await makeTestCluster({ nodes: names.map((name) => ({ name })) })
})

interface Pulled {
  readonly answer: ClientAnswer
  /** By name of the holder: what shows that it sent wrong bytes. */
  readonly condemned: Readonly<Record<string, string>>
}

/** Pulls from holders with these scripts until exactly those of `liars` (numbers from 1) are found. */
async function pull(scripts: readonly HolderScript[], liars: readonly number[]): Promise<Pulled> {
  await using stack = new AsyncDisposableStack()
  const asking = stack.use(await startPlane(node('asking'), { host: '127.0.16.1' }))
  for (const [index, script] of scripts.entries()) {
    const credentials = node(`holder-${index + 1}`)
    const host = `127.0.16.${index + 2}`
    const holder = stack.use(await startScriptedHolder(credentials, host, blob, script))
    asking.control.candidates = [...asking.control.candidates, holder.candidate]
  }
  const condemned = (): Record<string, string> =>
    Object.fromEntries(
      asking.control.transfers.flatMap(({ peerId, wrong }) => {
        const [name] = [...cluster].find(([, set]) => set.peerId === peerId) ?? []
        return wrong === undefined || name === undefined ? [] : [[name, wrong.evidence] as const]
      }),
    )
  const answer = await fetchFrom(asking.endpoint, node('asking'), blobPath(digest))
  const all = (): boolean => liars.every((number) => condemned()[`holder-${number}`] !== undefined)
  await eventually(all, { what: `holders ${liars} are found` })
  // A look at what is settled in the end: nothing is under way any more.
  await eventually(() => asking.control.running === 0, { what: 'the end of all transfers' })
  assert.deepEqual(
    Object.keys(condemned()).sort(),
    liars.map((number) => `holder-${number}`),
    'who is honest is not condemned',
  )
  assert.ok(asking.control.transfers.every(({ wrong }) => wrong === undefined || wrong.digest === digest))
  return { answer, condemned: condemned() }
}

test('two of three that agree on a lie outvote an honest holder, and only the two are condemned', async () => {
  for (const at of [5, 6_000_000, sizeBytes - 500]) {
    const { answer } = await pull([liar(at), honest, liar(at)], [1, 3])
    assert.ok(answer.end === 'early' || answer.status === 404)
  }
})

test('two that agree on a lie are condemned where the honest holder has no map, and it is not', async () => {
  const { answer } = await pull([liar(6_000_000), liar(6_000_000), honestWithoutMap], [1, 2])
  assert.ok(answer.end === 'early' || answer.status === 404)
})

test('liars that give the right copy when it is asked for whole are shown wrong by their map', async () => {
  const lie = liar(6_000_000, { whole: blob })
  const { condemned } = await pull([lie, honest, lie], [1, 3])
  assert.deepEqual([...new Set(Object.values(condemned))], ['map'])
})

test('a liar whose map and whole copy are right is shown wrong by the piece that it gave', async () => {
  const lie = liar(5, { whole: blob, map })
  const { answer, condemned } = await pull([{ ...lie, whole: lie.parts }, honest, honest], [1])
  assert.ok(answer.body.equals(blob))
  assert.ok(['piece', 'copy'].includes(condemned['holder-1'] ?? ''))
})

test('of several holders without maps the copies tell who lied', async () => {
  const { answer, condemned } = await pull(
    [liar(9_000_000, { map: undefined }), liar(9_000_000, { map: undefined }), honestWithoutMap],
    [1, 2],
  )
  assert.notEqual(answer.end, 'reset')
  assert.ok(!answer.body.equals(blob) || answer.end === 'complete')
  assert.deepEqual(Object.values(condemned), ['copy', 'copy'])
})

test('the fourth holder is asked for its map where others have none', async () => {
  const scripts = [honestWithoutMap, honestWithoutMap, liar(7_000_000), honest]
  const { answer } = await pull(scripts, [3])
  assert.equal(answer.status, 404)
  assert.equal(answer.body.includes('BLOB_UNKNOWN'), true)
})
