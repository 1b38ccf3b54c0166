import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { Digest } from '../../lib/core/digest.ts'
import type { PeerView, StatusView } from '../../lib/core/ops-view.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { putImage } from '../support/cluster/put-image.ts'
import type { Fetched } from '../support/cluster/registry-client.ts'
import { waitHolders } from '../support/cluster/views.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { buildArtifact } from '../support/oci-image.ts'
import { flipBit, hashedBytes, makeLiar, mendLiar, waitHashed } from './lying/tamper.ts'
import { blobFile } from './transfer/shared-blob.ts'

/** Large enough to come from several holders at once. */
const sizeBytes = 12 * 2 ** 20 + 11
const pieceBytes = 2 ** 20
const holders = [0, 1, 2, 3] as const

describe('holders that lie about a byte, and one node that asks them', () => {
  let cluster: Cluster
  const requester = (): ClusterNode => cluster.node(4)

  before(async () => {
    cluster = await createCluster({
      nodes: 5,
      configure: (config) => ({ ...config, auditInterval: '2s' }),
    })
  })
  after(() => cluster?.[Symbol.asyncDispose]())

  /** A fresh blob that these nodes hold, each with its map. */
  async function give(seed: string, indexes: readonly number[]): Promise<Digest> {
    const image = await buildArtifact({ seed, sizes: [sizeBytes] })
    const digest = [...image.blobs.values()].find(({ descriptor }) => descriptor.size === sizeBytes)
      ?.descriptor.digest as Digest
    const nodes = indexes.map((index) => cluster.node(index))
    const hashed = await Promise.all(nodes.map(hashedBytes))
    for (const node of nodes) await putImage(node, `registry.test/team/${seed}:1`, image)
    await waitHolders([requester()], digest, nodes, 30_000)
    for (const [index, node] of nodes.entries()) await waitHashed(node, hashed[index] ?? 0, sizeBytes)
    return digest
  }

  const pull = (digest: Digest, range?: string): Promise<Fetched> =>
    requester().fetch(
      `/v2/team/app/blobs/${digest}?ns=registry.test`,
      range === undefined ? {} : { range, keepBody: true },
    )

  const quarantined = async (): Promise<string[]> =>
    (await requester().ops<PeerView[]>('peers'))
      .filter(({ quarantine }) => quarantine !== undefined)
      .map(({ name }) => name)

  const problems = async (node: ClusterNode): Promise<string> =>
    (await node.ops<StatusView>('status')).problems.join('\n')

  /** Pulls, byte-equal each time, until a condition holds. */
  async function pullUntil(digest: Digest, met: () => Promise<boolean>): Promise<void> {
    await eventually(
      async () => {
        // Several at once are spread over all holders, also over one that was slow at first.
        for (const { status, end, digest: came } of await Promise.all([1, 2, 3].map(() => pull(digest)))) {
          assert.deepEqual({ status, end, came }, { status: 200, end: 'complete', came: digest })
        }
        return met()
      },
      { what: 'the liar is found', timeoutMs: 30_000, intervalMs: 20 },
    )
  }

  const inQuarantine = (index: number) => async (): Promise<boolean> => {
    const names = await quarantined()
    return names.length === 1 && names[0] === cluster.node(index).name
  }

  async function release(node: ClusterNode): Promise<void> {
    const { code, stdout } = await requester().cli('peers', 'release', node.name)
    assert.deepEqual({ code, stdout }, { code: 0, stdout: `${node.name}: released\n` })
    assert.deepEqual(await quarantined(), [])
  }

  it('a byte that flipped on the disk of one of four: the bytes are right, and nobody is in quarantine', async () => {
    const digest = await give('flipped', holders)
    const node = cluster.node(1)
    await flipBit(blobFile(node, digest), 5_000_000)
    await pullUntil(digest, async () => (await problems(node)).includes(`${digest} is damaged`))
    assert.deepEqual(await quarantined(), [])
  })

  it('a lie in the first piece, with a matching map: the liar is named everywhere, told, and finds its copy wrong', async () => {
    const liar = cluster.node(0)
    const digest = await give('first-piece', holders)
    await makeLiar(liar, digest, blobFile(liar, digest), 5)
    await pullUntil(digest, inQuarantine(0))

    const { quarantine } = (await requester().ops<PeerView[]>('peers')).find(
      ({ name }) => name === liar.name,
    ) as PeerView
    assert.equal(quarantine?.digest, digest)
    assert.ok(Date.parse(quarantine.until) > Date.parse(quarantine.since))
    const { stdout } = await requester().cli('peers')
    assert.match(stdout, new RegExp(`^${liar.name} +alive, quarantined `, 'm'))
    assert.match(
      stdout,
      new RegExp(`^${liar.name} is in quarantine since .*: wrong bytes of ${digest}: `, 'm'),
    )
    assert.match(await problems(requester()), new RegExp(`${liar.name} is in quarantine until .*${digest}`))
    assert.equal(await requester().metric('starling_quarantined_peer', `peer="${liar.name}"`), 1)

    const told = `${requester().name} has quarantined this node because wrong bytes of ${digest} came from it`
    await eventually(async () => (await problems(liar)).includes(told), { what: 'the liar is told' })
    await eventually(async () => (await problems(liar)).includes(`${digest} is damaged on this node`), {
      what: 'the liar looks at its copy',
    })
    assert.ok(liar.logs().some(({ msg }) => msg === 'a peer has put this node into quarantine'))

    await requester().stop()
    await requester().start()
    await eventually(inQuarantine(0), { what: 'the quarantine after a restart' })
    await mendLiar(liar, digest, blobFile(liar, digest), 5)
    await release(liar)
    await eventually(async () => !(await problems(liar)).includes(told), { what: 'the liar hears of it' })
    await cluster.waitWhole()
  })

  it('a lie in the last KiB, with a matching map: the bytes are right, and the liar is found', async () => {
    const liar = cluster.node(2)
    const digest = await give('last-kib', holders)
    await makeLiar(liar, digest, blobFile(liar, digest), sizeBytes - 500)
    await pullUntil(digest, inQuarantine(2))
    await release(liar)
  })

  it('of two holders one lies: right bytes or 404, and the liar is in quarantine from then on', async () => {
    const liar = cluster.node(3)
    const digest = await give('one-of-two', [1, 3])
    await makeLiar(liar, digest, blobFile(liar, digest), 7_000_000)
    const { status, digest: came } = await pull(digest)
    assert.ok(status === 404 || (status === 200 && came === digest), `${status}`)
    await eventually(inQuarantine(3), { what: 'the liar is found', timeoutMs: 20_000 })
    assert.equal((await pull(digest)).digest, digest)
    await release(liar)
  })

  it('the only holder lies: the body ends by FIN before its last piece, and from then on the answer is 404', async () => {
    const liar = cluster.node(0)
    const digest = await give('only-one', [0])
    await makeLiar(liar, digest, blobFile(liar, digest), 2_000_000)
    const first = await pull(digest)
    assert.equal(first.status, 200)
    assert.equal(first.end, 'early-fin')
    assert.ok(first.bytes < sizeBytes && first.bytes > sizeBytes - pieceBytes, `${first.bytes} bytes came`)
    await eventually(inQuarantine(0), { what: 'the liar is found' })
    for (const range of [`${first.bytes}-`, undefined]) assert.equal((await pull(digest, range)).status, 404)
    const where = await requester().cli('where', digest)
    assert.match(where.stdout, /only nodes in quarantine hold/)
  })
})
