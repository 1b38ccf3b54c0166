import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import type { TransferConfig } from '../../lib/core/config.ts'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import { defaultRegistryLimits, type RegistryLimits } from '../../lib/registry/messages.ts'
import { eventually } from '../support/eventually.ts'
import { makeTestCluster } from '../support/test-trust.ts'
import {
  blobPath,
  candidateOf,
  digestOf,
  fetchFrom,
  manifestBytes,
  manifestPath,
  SpecControl,
  startPlane,
  type TestPlane,
} from './harness.ts'
import { startHostilePeer } from './hostile-peer.ts'

const requesters = 12
const body = randomBytes(6 * 2 ** 20)
const names = ['holder', 'other', ...Array.from({ length: requesters }, (_, index) => `node-${index}`)]
let cluster: Map<string, CredentialSet>
const node = (name: string): CredentialSet => cluster.get(name) as CredentialSet

before(async () => {
  cluster = await makeTestCluster({ nodes: names.map((name) => ({ name })) })
})

type Flow = Partial<TransferConfig['upload']>

function limitsOf(flows: { upload?: Flow; download?: Flow; verify?: 'off' }): Partial<RegistryLimits> {
  const { transfer } = defaultRegistryLimits
  return {
    // How long a slow machine takes is not what these tests are about.
    openBudgetMs: 60_000,
    transfer: {
      ...transfer,
      verify: flows.verify ?? 'full',
      upload: { ...transfer.upload, ...flows.upload },
      download: { ...transfer.download, ...flows.download },
    },
  }
}

const planes = new AsyncDisposableStack()
after(() => planes.disposeAsync())

/** A node whose lookups name those that hold the blob at that moment, the first one first. */
class FollowingControl extends SpecControl {
  readonly holders: readonly { name: string; plane: TestPlane | undefined }[]

  constructor(holders: readonly { name: string; plane: TestPlane | undefined }[]) {
    super()
    this.holders = holders
  }

  override async lookup(query: Parameters<SpecControl['lookup']>[0]): ReturnType<SpecControl['lookup']> {
    const { target } = query
    this.candidates = this.holders.flatMap(({ name, plane }) =>
      plane !== undefined &&
      plane.control !== this &&
      target.kind === 'digest' &&
      plane.control.local.blobs.has(target.digest)
        ? [candidateOf(node(name), plane.endpoint)]
        : [],
    )
    return super.lookup(query)
  }
}

test('many requesters of a holder with few slots find others that got the blob a moment ago', async () => {
  const upload = { atOnce: 2, atOncePerPeer: 1 }
  const known: { name: string; plane: TestPlane | undefined }[] = []
  const start = async (name: string, host: string): Promise<TestPlane> => {
    const entry: (typeof known)[number] = { name, plane: undefined }
    known.push(entry)
    const control = new FollowingControl(known)
    entry.plane = planes.use(await startPlane(node(name), { host, control, limits: limitsOf({ upload }) }))
    return entry.plane
  }
  const holder = await start('holder', '127.0.11.71')
  const path = blobPath(holder.control.local.put(body))
  const pullers: { name: string; plane: TestPlane }[] = []
  for (let index = 0; index < requesters; index++) {
    const name = `node-${index}`
    pullers.push({ name, plane: await start(name, `127.0.11.${72 + index}`) })
  }
  await Promise.all(
    pullers.map(async ({ name, plane }) => {
      const answer = await fetchFrom(plane.endpoint, node(name), path)
      assert.equal(answer.status, 200, answer.body.toString('latin1', 0, 300))
      assert.ok(answer.body.equals(body))
      // Containerd puts what it has pulled into the store, and the catalog tells.
      plane.control.local.put(body)
    }),
  )
  const given = (plane: TestPlane): number =>
    plane.control.requests.reduce((sum, { fromPeer, bytes }) => sum + (fromPeer ? bytes : 0), 0)
  assert.ok(holder.control.requests.some(({ status, fromPeer }) => fromPeer && status === 429))
  assert.ok(
    given(holder) < requesters * body.length * 0.8,
    `the first holder gave ${given(holder)} bytes: the others had their part`,
  )
})

test('a rate of uploads holds for peers and not for the containerd of the node', async () => {
  const limits = limitsOf({ upload: { bytesPerSecond: 16 * 2 ** 20 } })
  await using holder = await startPlane(node('other'), { host: '127.0.11.90', limits })
  const path = blobPath(holder.control.local.put(body))
  const startedMs = performance.now()
  assert.ok((await fetchFrom(holder.endpoint, node('holder'), path)).body.equals(body))
  const ownMs = performance.now() - startedMs
  const headers = { 'starling-hop': '1' }
  assert.ok((await fetchFrom(holder.endpoint, node('holder'), path, { headers })).body.equals(body))
  const peerMs = performance.now() - startedMs - ownMs
  assert.ok(peerMs >= 250, `6 MiB at 16 MiB/s took ${peerMs} ms`)
})

test('a rate of downloads holds for what comes from peers, and the body is right', async () => {
  await using holder = await startPlane(node('other'), { host: '127.0.11.90' })
  const limits = limitsOf({ download: { bytesPerSecondPerPeer: 16 * 2 ** 20 } })
  await using asking = await startPlane(node('holder'), { host: '127.0.11.91', limits })
  const path = blobPath(holder.control.local.put(body))
  asking.control.candidates = [candidateOf(node('other'), holder.endpoint)]
  const startedMs = performance.now()
  assert.ok((await fetchFrom(asking.endpoint, node('holder'), path)).body.equals(body))
  const tookMs = performance.now() - startedMs
  assert.ok(tookMs >= 250, `6 MiB at 16 MiB/s took ${tookMs} ms`)
  assert.deepEqual(new Set(asking.control.transfers.map(({ outcome }) => outcome)), new Set(['complete']))
})

test('requests to peers beyond those at once wait for room, and blame nobody', async () => {
  await using holder = await startPlane(node('other'), { host: '127.0.11.90' })
  const limits = limitsOf({ download: { atOnce: 1 } })
  await using asking = await startPlane(node('holder'), { host: '127.0.11.91', limits })
  const path = blobPath(holder.control.local.put(body))
  asking.control.candidates = [candidateOf(node('other'), holder.endpoint)]
  const answers = await Promise.all(
    Array.from({ length: 3 }, () => fetchFrom(asking.endpoint, node('holder'), path)),
  )
  for (const answer of answers) assert.ok(answer.body.equals(body))
  const blamed = asking.control.transfers.filter(
    ({ outcome }) => !['complete', 'cancelled'].includes(outcome),
  )
  assert.deepEqual(blamed, [])
})

test('a manifest is not held up by the blobs that are fetched', async () => {
  await using holder = await startPlane(node('other'), { host: '127.0.11.90' })
  const limits = limitsOf({ download: { atOnce: 1, bytesPerSecond: 4 * 2 ** 20 } })
  await using asking = await startPlane(node('holder'), { host: '127.0.11.91', limits })
  const path = blobPath(holder.control.local.put(body))
  const manifest = holder.control.local.put(manifestBytes(digestOf(body), [digestOf(body)]))
  asking.control.candidates = [candidateOf(node('other'), holder.endpoint)]
  const blob = fetchFrom(asking.endpoint, node('holder'), path)
  await eventually(() => holder.control.requests.length > 0 || asking.control.running > 0)
  assert.equal((await fetchFrom(asking.endpoint, node('holder'), manifestPath(manifest))).status, 200)
  assert.ok(asking.control.running > 0, 'the blob is still on its way')
  assert.ok((await blob).body.equals(body))
})

test('with verify off the bytes of a holder are passed on as they are, and checked again once it is on', async () => {
  const wrong = Buffer.from(body)
  wrong[5] = (wrong[5] ?? 0) ^ 1
  await using liar = await startHostilePeer(node('other'), '127.0.11.90', wrong, (answer) => {
    answer.head({ 'docker-content-digest': digestOf(body) })
    answer.response.end(answer.body.subarray(answer.start))
  })
  await using asking = await startPlane(node('holder'), {
    host: '127.0.11.91',
    limits: limitsOf({ verify: 'off' }),
  })
  const path = blobPath(digestOf(body))
  asking.control.candidates = [candidateOf(node('other'), liar.endpoint)]
  assert.ok((await fetchFrom(asking.endpoint, node('holder'), path)).body.equals(wrong))
  asking.plane.tune(defaultRegistryLimits)
  const checked = await fetchFrom(asking.endpoint, node('holder'), path)
  assert.notEqual(checked.end, 'complete')
})
