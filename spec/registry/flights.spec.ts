import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { afterEach, before, beforeEach, test } from 'node:test'
import { normaliseTransfer } from '../../lib/config/transfer-section.ts'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import { heldTailSizeBytes } from '../../lib/registry/body-check.ts'
import { eventually } from '../support/eventually.ts'
import { makeTestCluster } from '../support/test-trust.ts'
import { FlightControl } from './flight-node.ts'
import {
  blobPath,
  type ClientAnswer,
  candidateOf,
  digestOf,
  fetchFrom,
  startPlane,
  type TestPlane,
} from './harness.ts'

const limits = { flightCeilingMs: 1500 }
const bytes = randomBytes(6_000_000)
const digest = digestOf(bytes)
const half = 3_000_000

let cluster: Map<string, CredentialSet>
let planes: AsyncDisposableStack
let parents: { readonly control: FlightControl; readonly plane: TestPlane; readonly name: string }[] = []
let asking: TestPlane
let control: FlightControl
const node = (name: string): CredentialSet => cluster.get(name) as CredentialSet

before(async () => {
  cluster = await makeTestCluster({ nodes: ['asking', 'first', 'second'].map((name) => ({ name })) })
})

beforeEach(async () => {
  planes = new AsyncDisposableStack()
  parents = []
  for (const [index, name] of ['first', 'second'].entries()) {
    const own = new FlightControl()
    const plane = planes.use(
      await startPlane(node(name), { host: `127.0.31.${index + 2}`, control: own, limits }),
    )
    parents.push({ control: own, plane, name })
  }
  control = new FlightControl()
  control.parents = parents.map(({ name, plane }) => candidateOf(node(name), plane.endpoint))
  asking = planes.use(await startPlane(node('asking'), { host: '127.0.31.1', control, limits }))
})

afterEach(() => planes.disposeAsync())

function pull(range?: string, of = digest): Promise<ClientAnswer> {
  const headers = range === undefined ? {} : { range }
  return fetchFrom(asking.endpoint, node('asking'), blobPath(of), { headers })
}

function download(index: number, reachedBytes: number, body: Uint8Array = bytes, of = digest) {
  const parent = parents[index]
  assert.ok(parent)
  return parent.control.growing.begin(of, body, reachedBytes)
}

/** Bytes of the blob that the parents have sent. */
const sent = () =>
  parents.flatMap(({ control: { requests } }) =>
    requests.flatMap((request) => (request.status < 300 ? [request.bytes] : [])),
  )

test('a follower gets what its parent has while it grows, and the whole when it is complete', async () => {
  const growing = download(0, 0)
  const answer = pull()
  for (let reached = 500_000; reached <= bytes.length; reached += 500_000) {
    await new Promise((resolve) => setTimeout(resolve, 30))
    growing.reachedBytes = reached
  }
  growing.state = 'done'
  const { status, body, end, headers } = await answer
  assert.deepEqual([status, end, headers['content-length']], [200, 'complete', String(bytes.length)])
  assert.equal(digestOf(body), digest)
  await eventually(() => control.requests.length === 1)
  assert.match(control.requests[0]?.reason ?? '', /^in flight from first \(still downloading\)$/)
  assert.equal(control.notes.filter(({ what }) => what === 'ended')[0]?.bytes, bytes.length)
})

test('a child gets what passes through its parent, though the file of the parent shows nothing of it yet', async () => {
  const [, middle] = parents
  assert.ok(middle)
  const growing = download(0, half)
  const there = download(1, 0)
  middle.control.parents = control.parents.slice(0, 1)
  control.parents = control.parents.slice(1)
  // The catalog of a node does not name what is only on its way there.
  const own = fetchFrom(middle.plane.endpoint, node('second'), blobPath(digest))
  const child = pull()
  const { counts } = middle.plane.metrics
  await eventually(() => middle.control.notes.length > 0 && control.notes.length > 0)
  growing.reachedBytes = bytes.length
  growing.state = 'done'
  const answers = [await own]
  // A child that fell behind what is kept goes on from the file.
  there.reachedBytes = bytes.length
  there.state = 'done'
  answers.push(await child)
  for (const { status, end, body } of answers) {
    assert.deepEqual([status, end], [200, 'complete'])
    assert.equal(digestOf(body), digest)
  }
  await eventually(() => (counts.get('starling_flight_given_bytes_total memory') ?? 0) > 0)
})

/** It got a beginning of what the first parent has, and no end; or nothing at all. */
function isLeft({ status, end, body }: ClientAnswer): boolean {
  if (status === 404) return true
  return end === 'early' && body.length <= half && body.equals(bytes.subarray(0, body.length))
}

test('a child whose parent has lost its own parent is left without an end, and goes on from the byte it has', async () => {
  const [, middle] = parents
  assert.ok(middle)
  const growing = download(0, half)
  const there = download(1, 0)
  middle.control.parents = control.parents.slice(0, 1)
  const [first, second] = control.parents
  assert.ok(first && second)
  control.parents = [second]
  const own = fetchFrom(middle.plane.endpoint, node('second'), blobPath(digest))
  const child = pull()
  await eventually(() => control.notes.some(({ what }) => what === 'running'))
  growing.state = 'gone'
  assert.ok(isLeft(await own))
  there.state = 'gone'
  assert.ok(isLeft(await child))
})

test('what comes in flight counts to what this node may get from peers', async () => {
  download(0, bytes.length).state = 'done'
  const transfer = normaliseTransfer({ download: { rate: '3MB/s' } })
  const slow = await startPlane(node('asking'), {
    host: '127.0.31.4',
    control,
    limits: { ...limits, transfer },
  })
  planes.use(slow)
  const startedMs = performance.now()
  const { end } = await fetchFrom(slow.endpoint, node('asking'), blobPath(digest))
  assert.equal(end, 'complete')
  assert.ok(performance.now() - startedMs > 500)
})

test('a range beyond what the parent has waits until it is there', async () => {
  const growing = download(0, half)
  const answer = pull('bytes=5000000-5000099')
  await new Promise((resolve) => setTimeout(resolve, 200))
  growing.reachedBytes = bytes.length
  const { status, body } = await answer
  assert.equal(status, 206)
  assert.deepEqual(body, bytes.subarray(5_000_000, 5_000_100))
})

test('when a parent gives up, the next one goes on from the byte reached, in the same body', async () => {
  const growing = download(0, half)
  const next = download(1, bytes.length)
  next.state = 'done'
  const answer = pull()
  await eventually(() => control.notes.some(({ what }) => what === 'running'))
  growing.state = 'gone'
  const { status, body, end } = await answer
  assert.deepEqual([status, end], [200, 'complete'])
  assert.equal(digestOf(body), digest)
  await eventually(() => sent().length === 2)
  // What was on its way when the parent gave up comes from the next one, and not much more.
  assert.ok((sent()[1] ?? 0) >= bytes.length - half && (sent()[1] ?? 0) < bytes.length, String(sent()))
  assert.equal(parents[0]?.control.requests.length, 1, 'who gave up is not asked once more')
})

test('a parent of which nothing is heard any more is left, though its connection stands', async () => {
  download(0, half)
  download(1, bytes.length).state = 'done'
  const answer = pull()
  await eventually(() => control.notes.some(({ what }) => what === 'running'))
  control.lostParents.add(node('first').peerId)
  const { body, end } = await answer
  assert.equal(end, 'complete')
  assert.equal(digestOf(body), digest)
})

test('with nobody left the body ends by FIN, and the request for the rest gets 404', async () => {
  const growing = download(0, half)
  control.parents = control.parents.slice(0, 1)
  const answer = pull()
  await eventually(() => control.notes.some(({ what }) => what === 'running'))
  growing.state = 'gone'
  parents[0]?.control.growing.downloads.delete(digest)
  const { status, body, end } = await answer
  assert.deepEqual([status, end], [200, 'early'])
  assert.ok(body.length > 0 && body.length <= half, `${body.length} bytes`)
  control.parents = []
  assert.equal((await pull(`bytes=${body.length}-`)).status, 404)
})

test('a download that never begins, and one that stands still, end within the ceiling', async () => {
  const growing = download(0, 0)
  control.parents = control.parents.slice(0, 1)
  const startedMs = performance.now()
  assert.equal((await pull()).status, 404)
  growing.reachedBytes = half
  assert.deepEqual((await pull()).end, 'early')
  assert.ok(performance.now() - startedMs < 4 * limits.flightCeilingMs)
})

test('the end of a body is held back where the bytes are wrong, and the control plane is told', async () => {
  const spoiled = Buffer.from(bytes)
  spoiled[10] = (spoiled[10] ?? 0) ^ 1
  download(0, bytes.length, spoiled).state = 'done'
  const { status, body, end } = await pull()
  assert.deepEqual([status, end, body.length], [200, 'early', bytes.length - heldTailSizeBytes])
  assert.deepEqual(
    control.notes.filter(({ what }) => what === 'wrong').map(({ parent }) => parent),
    [node('first').peerId],
  )
})

test('of a small blob with wrong bytes nothing leaves at all', async () => {
  const small = randomBytes(1000)
  download(0, small.length, randomBytes(1000), digestOf(small)).state = 'done'
  assert.equal((await pull(undefined, digestOf(small))).status, 404)
})

test('a peer gets what is downloaded here only while it is', async () => {
  const [parent] = parents
  const growing = download(0, half)
  const ask = () =>
    fetchFrom(parent?.plane.endpoint as never, node('asking'), blobPath(digest), {
      headers: { 'starling-hop': '1', range: 'bytes=0-99' },
    })
  assert.deepEqual((await ask()).body, bytes.subarray(0, 100))
  growing.state = 'gone'
  assert.equal((await ask()).status, 404)
  parent?.control.growing.downloads.delete(digest)
  assert.equal((await ask()).status, 404)
})
