import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { after, before, describe, it } from 'node:test'
import type { CheckLine } from '../../lib/app/check/line.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { runOrFail, runToEnd } from '../support/processes.ts'
import { starlingBin } from '../support/project.ts'

describe('starling check', () => {
  let cluster: Cluster
  before(async () => {
    cluster = await createCluster({ nodes: 2, mirrors: ['check.test'] })
    await runOrFail(process.execPath, [starlingBin, 'configure', '--config', cluster.node(0).configFile])
  })
  after(() => cluster?.dispose())

  async function check(node: ClusterNode): Promise<{ code: number | null; lines: CheckLine[] }> {
    const args = [starlingBin, 'check', '--config', node.configFile, '--output', 'json']
    const run = await runToEnd(process.execPath, args, { timeoutMs: 60_000 })
    return { code: run.code, lines: JSON.parse(run.stdout) as CheckLine[] }
  }
  const shown = (lines: readonly CheckLine[]) => lines.map(({ what, verdict }) => `${what}: ${verdict}`)

  it('finds nothing wrong with a node that shares, and ends with 0', async () => {
    let last: Awaited<ReturnType<typeof check>> | undefined
    const good = async () => {
      last = await check(cluster.node(0))
      return last.code === 0
    }
    // The first datagrams may still be on their way.
    await eventually(good, { timeoutMs: 30_000, intervalMs: 500 }).catch(() =>
      assert.fail(JSON.stringify(last)),
    )
    assert.deepEqual(shown(last?.lines ?? []), [
      'certificates: ok',
      'node: ok',
      'port: ok',
      'port: ok',
      'port: ok',
      'other nodes over TCP: ok',
      'other nodes over UDP: ok',
      'clock: ok',
      'content: ok',
      'hosts.toml: ok',
    ])
  })

  it("names a stranger on the node's port, hosts.toml files out of step and bootstrap nodes that are silent", async () => {
    const node = cluster.node(1)
    await node.stop()
    const registry = new URL(node.registryUrl)
    const stranger = createServer().listen(Number(registry.port), registry.hostname)
    await once(stranger, 'listening')
    try {
      await cluster.node(0).kill()
      const { code, lines } = await check(node)
      assert.equal(code, 1)
      const text = lines.map(({ what, verdict, detail }) => `${what}: ${verdict}: ${detail}`).join('\n')
      assert.match(text, /^node: warning: no node answers on/m)
      assert.match(text, /^port: wrong: TCP .*:6443 is taken by another program \(a Kubernetes API server/m)
      assert.match(text, /^port: ok: UDP .*:5001 is free$/m)
      assert.match(text, /^other nodes: wrong: no bootstrap node answers: .*refuses connections/m)
      assert.match(
        text,
        /^hosts\.toml: wrong: .* is not in step, 1 file would change; run starling configure$/m,
      )
    } finally {
      stranger.close()
    }
  })
})
