import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import type { CredentialSet } from '../../../lib/core/credentials.ts'
import { eventually } from '../../support/eventually.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { makeTestCluster } from '../../support/test-trust.ts'
import {
  blobPath,
  type ClientAnswer,
  candidateOf,
  digestOf,
  fetchFrom,
  startIdle,
  startPlane,
  type TestPlane,
} from '../harness.ts'
import { lieAt, startScriptedHolder } from './lying-holders.ts'

const sizeBytes = 12 * 2 ** 20 + 77
const blob = createHash('shake256', { outputLength: sizeBytes }).update('pieces').digest()
const digest = digestOf(blob)
const folder = await tempFolder('map-check')

let cluster: Map<string, CredentialSet>
const node = (name: string): CredentialSet => cluster.get(name) as CredentialSet

before(async () => {
  const names = ['asking', 'liar', 'honest-1', 'honest-2', 'honest-3']
  cluster = await makeTestCluster({ nodes: names.map((name) => ({ name })) })
})
after(() => folder[Symbol.asyncDispose]())

interface Pulled {
  readonly answer: ClientAnswer
  /** Peers that were found to give wrong bytes. */
  readonly blamed: ReadonlySet<string>
  readonly checks: ReadonlyMap<string, number>
}

/** A pull among a liar, who is asked first and has a map that matches its lie, and honest holders. `fresh`: these have no maps yet. */
async function pull(lie: number, honest: number, range?: string, fresh?: string): Promise<Pulled> {
  await using stack = new AsyncDisposableStack()
  const { bytes, map } = lieAt(blob, lie)
  const script = { parts: bytes, whole: bytes, map }
  const liar = stack.use(await startScriptedHolder(node('liar'), '127.0.14.2', blob, script))
  const candidates = [liar.candidate]
  for (let index = 1; index <= honest; index++) {
    const plane = stack.use(
      await startPlane(node(`honest-${index}`), {
        host: `127.0.14.${2 + index}`,
        mapsPath: fresh ?? folder.path,
      }),
    )
    plane.control.local.put(blob)
    candidates.push(candidateOf(node(`honest-${index}`), plane.endpoint))
    if (fresh !== undefined) continue
    // Maps are there when somebody pulls: how long it takes to make one is not what this is about.
    const question = { headers: { 'starling-hop': '1' } }
    const map = await fetchFrom(plane.endpoint, node('asking'), `${blobPath(digest)}&chunk-map=1`, question)
    assert.equal(map.status, 200)
  }
  const asking = stack.use(await startPlane(node('asking'), { host: '127.0.14.1' }))
  asking.control.candidates = candidates
  const answer = await fetchFrom(asking.endpoint, node('asking'), blobPath(digest), {
    headers: range === undefined ? {} : { range },
  })
  const blamed = (): Set<string> =>
    new Set(
      asking.control.transfers
        .filter(({ outcome }) => outcome === 'wrong-bytes')
        .map(({ peerId }) => [...cluster].find(([, set]) => set.peerId === peerId)?.[0] ?? ''),
    )
  await eventually(() => blamed().has('liar'), { what: 'the liar is found' })
  return { answer, blamed: blamed(), checks: asking.metrics.counts }
}

for (const [where, at] of [
  ['in the first piece', 5],
  ['in the last KiB', sizeBytes - 500],
  ['in the middle', 6_000_000],
] as const) {
  test(`of four holders one lies ${where}: the client gets the right bytes, and the liar is found`, async () => {
    const { answer, blamed, checks } = await pull(at, 3)
    assert.equal(answer.status, 200)
    assert.equal(answer.end, 'complete')
    assert.ok(answer.body.equals(blob))
    assert.deepEqual([...blamed], ['liar'])
    assert.ok((checks.get('starling_integrity_received_total pieces') ?? 0) > 0)
  })
}

test('a range is checked too, whatever its bounds', async () => {
  const { answer, blamed } = await pull(4_000_000, 2, 'bytes=3999000-9000001')
  assert.equal(answer.status, 206)
  assert.ok(answer.body.equals(blob.subarray(3_999_000, 9_000_002)))
  assert.deepEqual([...blamed], ['liar'])
})

test('of two holders one lies: no byte is sent but 404, and the copies tell who it was', async () => {
  const { answer, blamed, checks } = await pull(7_000_000, 1)
  assert.equal(answer.status, 404)
  assert.deepEqual([...blamed], ['liar'])
  assert.equal(checks.get('starling_integrity_received_total tied'), 1)
})

test('of two holders one lies, and the honest one has no map yet: it makes one before it answers', async () => {
  await using fresh = await tempFolder('map-check-fresh')
  const { answer, blamed, checks } = await pull(7_000_000, 1, undefined, fresh.path)
  // On a machine that is so slow that the map is too late, the digest must do, which is counted.
  if (checks.get('starling_integrity_received_total digest') === undefined) {
    assert.equal(answer.status, 404)
    assert.equal(checks.get('starling_integrity_received_total tied'), 1)
  } else assert.notEqual(answer.end, 'complete')
  assert.deepEqual([...blamed], ['liar'])
})

test('a sole holder that lies: the body ends before its last piece', async () => {
  const { answer, blamed } = await pull(9_000_000, 0)
  assert.equal(answer.end, 'early')
  assert.ok(answer.body.length < sizeBytes)
  assert.deepEqual([...blamed], ['liar'])
})

test('a client that fetches a blob in ranges has each of them checked, and the holders are asked for their map once', async () => {
  await using stack = new AsyncDisposableStack()
  const holders: TestPlane[] = []
  for (const index of [1, 2]) {
    const host = `127.0.14.${2 + index}`
    const plane = stack.use(await startPlane(node(`honest-${index}`), { host, mapsPath: folder.path }))
    plane.control.local.put(blob)
    holders.push(plane)
  }
  const asking = stack.use(await startPlane(node('asking'), { host: '127.0.14.1' }))
  asking.control.candidates = holders.map(({ endpoint }, index) =>
    candidateOf(node(`honest-${index + 1}`), endpoint),
  )
  const part = 2 ** 20 + 500
  const pull = async (start: number): Promise<void> => {
    const headers = { range: `bytes=${start}-${start + part - 1}` }
    const answer = await fetchFrom(asking.endpoint, node('asking'), blobPath(digest), { headers })
    assert.ok(answer.body.equals(blob.subarray(start, start + part)))
  }
  // What is held for a client that reads late is not written over meanwhile.
  await using late = await startIdle(asking.endpoint, node('asking'), blobPath(digest))
  const starts = Array.from({ length: 10 }, (_, index) => index * part)
  await Promise.all(starts.slice(0, 5).map(pull))
  for (const start of starts.slice(5)) await pull(start)
  assert.equal(asking.metrics.counts.get('starling_integrity_received_total pieces'), starts.length + 1)
  assert.ok((await late.read()).equals(blob))
  for (const { control } of holders) {
    await eventually(() => control.requests.length > 0)
    assert.equal(control.requests.filter(({ path }) => path.includes('chunk-map=1')).length, 1)
  }
})
