import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { Digest } from '../../lib/core/digest.ts'
import { resetPeak, residentBytes } from '../bench/support/process-usage.ts'
import { median } from '../bench/support/statistics.ts'
import { builtBin } from '../support/built.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { waitHolders } from '../support/cluster/views.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { hangFolder, skipWithoutHungFolders } from './transfer/hung-folder.ts'
import { IdleThread } from './transfer/idle-thread.ts'
import { type ReadEnd, readSome } from './transfer/reader.ts'
import { putSparseBlob } from './transfer/sparse-blob.ts'

const sizeBytes = 2 ** 30
const clients = 64
const slowClients = 12
/** What a client takes of a blob, and a slow one before the others are done. */
const takenBytes = 16 * 2 ** 20
const maxRssBytes = 256 * 2 ** 20
const maxLateSeconds = 0.05
const loopDelay = 'starling_event_loop_delay_seconds'

describe('64 clients at once, slow ones among them, on blobs of 1 GiB', () => {
  let cluster: Cluster
  let blob: Digest
  let other: Digest
  const holder = () => cluster.node(0)
  const requester = () => cluster.node(1)
  const pathOf = (digest: Digest) => `/v2/team/sparse/blobs/${digest}?ns=registry.test`

  before(async () => {
    cluster = await createCluster({
      nodes: 3,
      bin: await builtBin(),
      // All of them come through one node from the only holder: more than it gives to one peer by default.
      configure: (config) => ({
        ...config,
        transfer: {
          upload: { atOnce: 2 * clients, atOncePerPeer: clients },
          download: { atOncePerPeer: clients },
        },
      }),
    })
    blob = await putSparseBlob([holder()], sizeBytes, 1)
    other = await putSparseBlob([holder()], 2 ** 20, 2)
    for (const digest of [blob, other]) await waitHolders(cluster.nodes, digest, [holder()], 30_000)
  })
  after(() => cluster?.[Symbol.asyncDispose]())

  /** Runs `body` and asserts that the control plane and the memory of all nodes did not feel it. */
  async function unfelt(body: () => Promise<void>): Promise<void> {
    const doubts = (node: ClusterNode) =>
      Promise.all(
        ['suspect', 'stalled', 'dead'].map((to) =>
          node.metric('starling_membership_changes_total', `to="${to}"`),
        ),
      )
    const before = await Promise.all(cluster.nodes.map(doubts))
    for (const node of cluster.nodes) {
      resetPeak(node.pid ?? 0)
      // Reading begins the measurement, and the next one ends what came before.
      await node.metric(loopDelay)
      await eventually(async () => (await node.metric(loopDelay, 'quantile="0.99"')) !== undefined)
    }
    await using idle = await IdleThread.start()
    await body()
    const bound = maxLateSeconds + (await idle.lateSeconds())
    for (const node of cluster.nodes) {
      const p99 = await node.metric(loopDelay, 'quantile="0.99"')
      assert.ok((p99 ?? 1) <= bound, `${node.name}: the event loop was ${p99} s late, of ${bound}`)
      const peak = residentBytes(node.pid ?? 0, 'VmHWM')
      assert.ok(peak <= maxRssBytes, `${node.name}: ${Math.round(peak / 2 ** 20)} MiB`)
    }
    assert.deepEqual(await Promise.all(cluster.nodes.map(doubts)), before, 'nobody was suspected')
  }

  /** All ask one node for the whole blob; the fast ones drop it after `takenBytes`. */
  async function crowd(node: ClusterNode): Promise<void> {
    const abort = new AbortController()
    const begin = (slow: boolean) =>
      readSome(
        node,
        pathOf(blob),
        slow ? { stopAtBytes: sizeBytes, pauseMs: 100, signal: abort.signal } : { stopAtBytes: takenBytes },
      )
    const slow = Array.from({ length: slowClients }, () => begin(true))
    const fast = await Promise.all(Array.from({ length: clients - slowClients }, () => begin(false)))
    abort.abort()
    const ends: ReadEnd[] = await Promise.all(slow)
    for (const { status, bytes } of [...ends, ...fast]) {
      assert.equal(status, 200)
      assert.ok(bytes > 0, 'nobody starves')
    }
    const times = fast.map(({ durationMs }) => durationMs)
    const slowest = Math.max(...times)
    assert.ok(slowest <= 3 * median(times), `slowest ${slowest} ms, median ${median(times)} ms`)
  }

  it('are served alike by the node that has it, which stays small and calm', () =>
    unfelt(() => crowd(holder())))

  it('and a content folder that hangs stops no heartbeat', { skip: skipWithoutHungFolders() }, () =>
    unfelt(async () => {
      const hung = hangFolder(join(holder().dir, 'oci', 'blobs'))
      try {
        const asked = Array.from({ length: 16 }, (_, index) =>
          (index % 2 === 0 ? holder() : requester()).fetch(pathOf(other), { timeoutMs: 60_000 }),
        )
        for (const { status } of await Promise.all(asked))
          assert.ok(status === 404 || status === 503, `${status}`)
      } finally {
        hung[Symbol.dispose]()
      }
      await eventually(async () => (await holder().fetch(pathOf(other))).status === 200, {
        what: 'the folder to be read again',
        timeoutMs: 30_000,
      })
    }),
  )

  it('are served alike by a node that fetches it, which stays small and calm', () =>
    unfelt(() => crowd(requester())))
})
