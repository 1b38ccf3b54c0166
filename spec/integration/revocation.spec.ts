import assert from 'node:assert/strict'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { PeerView, StatusView } from '../../lib/core/ops-view.ts'
import type { PeerId } from '../../lib/core/peer-id.ts'
import { formatRevocations, signRevocation } from '../../lib/trust/revocation-list.ts'
import { builtBin } from '../support/built.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { putImage } from '../support/cluster/put-image.ts'
import { fetchRegistry } from '../support/cluster/registry-client.ts'
import { holdersOf, viewOf, waitHolders, waitState } from '../support/cluster/views.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { buildImage } from '../support/oci-image.ts'

const imageName = 'registry.test/team/app:1'

let cluster: Cluster
let revoked: ClusterNode
let others: readonly ClusterNode[]

const listOf = (node: ClusterNode) => join(node.trustDir, 'revocations.json')

describe('a node that is revoked', () => {
  before(async () => {
    cluster = await createCluster({ nodes: 5, bin: await builtBin() })
    revoked = cluster.node(4)
    others = cluster.nodes.slice(0, 4)
    const image = await buildImage({ seed: 'revocation', layers: [{ sizeBytes: 100_000 }] })
    await putImage(revoked, imageName, image)
    await putImage(cluster.node(0), imageName, image)
    await waitHolders(cluster.nodes, imageName, [cluster.node(0), revoked], 15_000)
  })
  after(() => cluster?.dispose())

  it('is refused by all, who hear of it from the one that was told, and also by one that was away', async () => {
    const away = cluster.node(3)
    const here = others.slice(0, 3)
    await away.stop()
    const read = (file: string) => readFile(join(cluster.trustDir, 'ca', file), 'utf8')
    const serverCa = { certPem: await read('server-ca.crt'), keyPem: await read('server-ca.key') }
    const peerId = (await viewOf(here[0]!, revoked))?.peerId as PeerId
    const entry = signRevocation({ name: revoked.name, peerId, revokedMs: Date.now() + 3_600_000 }, serverCa)
    await writeFile(listOf(here[0]!), formatRevocations([entry]))
    const tookMs = await waitState(here, [revoked], 'left', 20_000)
    process.stdout.write(
      `# revoked on all after ${Math.round(tookMs)} ms, up to 2 s of them to look at the file\n`,
    )
    for (const node of here) {
      assert.deepEqual(await holdersOf(node, imageName), [cluster.node(0).name])
    }
    const hasList = async (node: ClusterNode) =>
      (await readFile(listOf(node), 'utf8').catch(() => '')).includes(peerId)
    await eventually(async () => (await Promise.all(here.map(hasList))).every(Boolean), {
      timeoutMs: 10_000,
      what: 'the list on each node',
    })
    assert.equal((await stat(listOf(here[1]!))).mode & 0o777, 0o600)
    await away.start()
    await waitState([away], [revoked], 'left', 30_000).catch(async (error) => {
      const known = await viewOf(away, revoked)
      if (known !== undefined) throw error
    })
    await eventually(() => hasList(away), { timeoutMs: 20_000, what: 'the list on the node that was away' })
    assert.deepEqual(await holdersOf(away, imageName), [cluster.node(0).name])
  })

  it('gets nothing from the registry of the others, and no company back', async () => {
    const read = (file: string) => readFile(join(revoked.trustDir, file), 'utf8')
    const [ca, cert, key] = await Promise.all(['server-ca.crt', 'client.crt', 'client.key'].map(read))
    for (const node of others) {
      const answer = await fetchRegistry(new URL('/v2/', node.registryUrl), {
        ca: ca!,
        cert: cert!,
        key: key!,
      })
      assert.equal(answer.status, 403, node.name)
      assert.match(answer.body?.toString() ?? '', /was revoked/)
    }
    const refusals = async (node: ClusterNode) =>
      (await node.metric('starling_attestation_refused_total', 'reason="revoked"')) ?? 0
    await eventually(async () => (await Promise.all(others.map(refusals))).some((count) => count > 0), {
      timeoutMs: 60_000,
      intervalMs: 250,
      what: 'the revoked node knocks again and is refused',
    })
    for (const node of others) {
      const view = (await node.ops<PeerView[]>('peers')).find(({ name }) => name === revoked.name)
      assert.notEqual(view?.state, 'alive', node.name)
    }
    assert.deepEqual((await others[0]!.ops<StatusView>('status')).problems, [])
  })
})
