import assert from 'node:assert/strict'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { PullReport } from '../../lib/app/pull/diagnose.ts'
import { LayoutWriter } from '../../lib/oci-layout/writer.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { putImage } from '../support/cluster/put-image.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { buildImage, buildIndex, hostPlatform } from '../support/oci-image.ts'
import { runOrFail, runToEnd } from '../support/processes.ts'
import { starlingBin } from '../support/project.ts'

const registry = 'pull.test'

describe('starling pull', () => {
  let cluster: Cluster
  before(async () => {
    cluster = await createCluster({ nodes: 3, mirrors: [registry] })
    const { configFile } = cluster.node(2)
    await runOrFail(process.execPath, [starlingBin, 'configure', '--config', configFile])
  })
  after(() => cluster?.dispose())

  const command = (node: ClusterNode, ...args: string[]) =>
    runToEnd(process.execPath, [starlingBin, 'pull', '--config', node.configFile, ...args], {
      timeoutMs: 60_000,
    })

  async function known(node: ClusterNode, repository: string): Promise<void> {
    const path = `/v2/${repository}/manifests/1?ns=${registry}`
    await eventually(async () => (await node.fetch(path, { method: 'HEAD' })).status === 200, {
      timeoutMs: 15_000,
      what: `${repository} at ${node.name}`,
    })
  }

  it('shows which nodes served which layer at what rate, and stores nothing', async () => {
    const image = await buildImage({ seed: 'pull', layers: [{ sizeBytes: 40_000_000 }, { sizeBytes: 5 }] })
    const index = await buildIndex([{ image, platform: hostPlatform() }])
    const name = `${registry}/team/app:1`
    for (const holder of [0, 1]) await putImage(cluster.node(holder), name, index)
    await known(cluster.node(2), 'team/app')
    const run = await command(cluster.node(2), name, '--output', 'json')
    assert.equal(run.code, 0, run.stderr)
    const report = JSON.parse(run.stdout) as PullReport
    assert.deepEqual(
      report.pieces.map(({ kind }) => kind),
      ['index', 'manifest', 'config', 'layer', 'layer'],
    )
    assert.deepEqual([report.digest, report.asksMirror, report.failure], [index.root.digest, true, null])
    const layer = report.pieces.find(({ digest }) => digest === image.layers[0]?.digest)
    assert.ok(layer !== undefined && layer.bytesPerSecond > 0)
    assert.equal(layer.source, 'peer')
    // What a second holder gave twice, in a race for the last bytes, counts for both.
    assert.ok(layer.peers.reduce((sum, { bytes }) => sum + bytes, 0) >= layer.sizeBytes)
    for (const { name: peer } of layer.peers) assert.match(peer, /^node-[12]$/)
    const again = await command(cluster.node(2), `${registry}/team/app@${index.root.digest}`)
    assert.equal(again.code, 0, again.stderr)
    assert.match(again.stdout, /^layer +sha256:[0-9a-f]{12} +38\.1 MiB +\d+ ms +.*\/s +node-[12]/m)
    const own = await command(cluster.node(0), name)
    assert.match(own.stdout, /^layer .* this node$/m)
    assert.match(own.stderr, /containerd does not ask this mirror for pull\.test/)
  })

  it('says in one line what is not available, why, and where a pull would go on', async () => {
    const absent = await command(cluster.node(2), `${registry}/team/none:1`)
    assert.deepEqual([absent.code, absent.stdout], [1, ''])
    assert.equal(
      absent.stderr,
      'starling: pull.test/team/none:1 is not available: no live node of the cluster announces pull.test/team/none:1; a pull goes on at https://pull.test\n',
    )
    const image = await buildImage({ seed: 'gap', layers: [{ sizeBytes: 1000 }, { sizeBytes: 70_000 }] })
    const writer = await LayoutWriter.open(join(cluster.node(0).dir, 'oci'))
    const gap = image.layers[1]?.digest
    for (const [digest, blob] of image.blobs) if (digest !== gap) await writer.addBlob(blob.bytes(), digest)
    await writer.putImage(`${registry}/team/gap:1`, image.root)
    await known(cluster.node(2), 'team/gap')
    const partial = await command(cluster.node(2), `${registry}/team/gap:1`)
    assert.equal(partial.code, 1)
    assert.match(partial.stdout, /^layer .* node-1$/m)
    assert.match(
      partial.stderr,
      new RegExp(`^starling: the layer ${gap} is not available: .*; a pull goes on at`),
    )
    assert.equal(partial.stderr.trim().split('\n').length, 1)
  })

  it('where containerd has no other host to ask, it says that a pull fails', async () => {
    const node = cluster.node(2)
    const folder = join(node.dir, 'certs.d', registry)
    await rm(folder, { recursive: true })
    await mkdir(folder)
    await writeFile(join(folder, 'hosts.toml'), `server = "${node.registryUrl}"\n[host]\n`)
    const { code, stderr } = await command(node, `${registry}/team/none:1`)
    assert.equal(code, 1)
    assert.match(stderr, /; containerd has nowhere else to ask, and a pull fails$/m)
  })

  it('where no node runs, one line says so', async () => {
    const node = cluster.node(1)
    await node.stop()
    const { code, stdout, stderr } = await command(node, `${registry}/team/app:1`)
    assert.deepEqual([code, stdout], [1, ''])
    assert.match(
      stderr,
      /^starling: the mirror of this machine, https:.*, gives no answer: .*; does starling agent run/,
    )
    assert.equal(stderr.trim().split('\n').length, 1)
  })
})
