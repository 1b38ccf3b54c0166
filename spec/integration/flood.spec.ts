import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { readIdentity } from '../../lib/trust/identity.ts'
import { builtBin } from '../support/built.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { putImage } from '../support/cluster/put-image.ts'
import { viewOf, waitHolders } from '../support/cluster/views.ts'
import { type Cluster, withCluster } from '../support/cluster.ts'
import { buildImage, type PlatformImage } from '../support/oci-image.ts'
import { startOwned } from '../support/processes.ts'
import type { FloodPlan, FloodReport } from './flood/plan.ts'

const seconds = 30
const rates = { udp: 3_000, p2p: 1_000, registry: 1_000 }
/** A sender that shares two cores with a whole cluster may fall a little short. */
const minRate = 0.9 * (rates.udp + rates.p2p + rates.registry)
const settledAfterMs = 5_000
const maxGrowthMib = 16
const strangers = 100
const ports = { p2pPort: 5001, registryPort: 6443 }

/** Resident memory of a process in MiB (proc_pid_status(5)). */
async function residentMib(node: ClusterNode): Promise<number> {
  const status = await readFile(`/proc/${node.pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024
}

async function makePlan(target: ClusterNode, member: ClusterNode): Promise<FloodPlan> {
  const identity = readIdentity(await readFile(join(member.trustDir, 'identity.key'), 'utf8'))
  const { ca, cert = '', key = '' } = await target.clientTls()
  return {
    host: target.address,
    ...ports,
    seconds,
    rates,
    sources: Array.from({ length: strangers }, (_, index) => `127.200.0.${index + 1}`),
    insider: '127.201.0.1',
    psk: await readFile(join(target.trustDir, 'psk'), 'utf8'),
    memberKey: Buffer.from(identity.publicKey).toString('hex'),
    tls: { ca, cert, key },
  }
}

/** The flood, from a process of its own, which ends by itself. */
async function flood(plan: FloodPlan): Promise<FloodReport> {
  const source = join(import.meta.dirname, 'flood', 'source.ts')
  const child = startOwned(process.execPath, [source, JSON.stringify(plan)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child.ref()
  let text = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString('utf8')
  })
  const [code] = (await once(child, 'close')) as [number | null]
  assert.equal(code, 0, 'the flooding process failed')
  return JSON.parse(text) as FloodReport
}

/** One layer through a node's mirror; returns the milliseconds that it took. */
async function pullLayer(through: ClusterNode, repository: string, image: PlatformImage): Promise<number> {
  const digest = image.layers[0]?.digest
  const got = await through.fetch(`/v2/${repository}/blobs/${digest}?ns=registry.test`)
  assert.deepEqual([got.status, got.end, got.digest], [200, 'complete', digest])
  return got.durationMs
}

async function assertWhole(cluster: Cluster, pids: readonly (number | undefined)[]): Promise<void> {
  assert.deepEqual(
    cluster.nodes.map(({ pid }) => pid),
    pids,
    'a node has ended',
  )
  for (const viewer of cluster.nodes) {
    for (const other of cluster.nodes) assert.equal((await viewOf(viewer, other))?.state, 'alive')
    for (const state of ['suspect', 'stalled', 'dead']) {
      const count = await viewer.metric('starling_membership_changes_total', `to="${state}"`)
      assert.equal(count ?? 0, 0, `${viewer.name} has held somebody for ${state}`)
    }
    const crashes = viewer.logs().filter(({ level }) => level === 'fatal' || level === 'error')
    assert.deepEqual(crashes, [])
    assert.equal((await viewer.metric('starling_registry_workers_replaced_total')) ?? 0, 0)
  }
}

/** What must have been refused, so that the flood was one: metric, part of its labels, at least so often. */
const refusals = [
  ['starling_datagrams_refused_total', 'reason="truncated"', 1_000],
  ['starling_datagrams_refused_total', 'reason="oversized"', 500],
  ['starling_datagrams_refused_total', 'reason="version"', 1_000],
  ['starling_datagrams_refused_total', 'reason="unsealed"', 1_000],
  ['starling_datagrams_refused_total', 'reason="rate"', 1_000],
  ['starling_p2p_refused_total', 'gate="limit",reason="strangers"', 10_000],
  ['starling_p2p_refused_total', 'gate="psk",reason="wrong-key"', 100],
  ['starling_p2p_refused_total', 'gate="tls"', 50],
  ['starling_registry_connections_refused_total', 'reason="strangers"', 5_000],
  ['starling_registry_handshakes_refused_total', 'reason="protocol"', 300],
  ['starling_registry_handshakes_refused_total', 'reason="no-certificate"', 10],
  ['starling_registry_malformed_requests_total', '', 100],
] as const

describe('a flood of malformed frames on all ports of a node', () => {
  it('crashes nothing, fills no memory, and keeps neither members nor pulls away', async (t) => {
    await withCluster({ nodes: 3, bin: await builtBin() }, async (cluster) => {
      const [target, holder, third] = [cluster.node(0), cluster.node(1), cluster.node(2)]
      const [near, far] = await Promise.all(
        ['near', 'far'].map((seed) => buildImage({ seed, layers: [{ sizeBytes: 4 * 2 ** 20 }] })),
      )
      assert.ok(near && far)
      await putImage(target, 'registry.test/near:1', near)
      await putImage(holder, 'registry.test/far:1', far)
      await waitHolders(cluster.nodes, 'registry.test/near:1', [target], 10_000)
      await waitHolders(cluster.nodes, 'registry.test/far:1', [holder], 10_000)
      const pullBoth = async () => [await pullLayer(target, 'far', far), await pullLayer(third, 'near', near)]
      // Both workers have served by then, and what is compiled and cached once is in memory.
      for (let round = 0; round < 30; round++) await pullBoth()
      const pids = cluster.nodes.map(({ pid }) => pid)

      const idleMib = await residentMib(target)
      const startedMs = performance.now()
      const flooded = flood(await makePlan(target, holder))
      let over = false
      const ended = flooded.finally(() => {
        over = true
      })
      await delay(settledAfterMs)
      const settledMib = await residentMib(target)
      const pullsMs: number[] = []
      const residents: number[] = []
      while (!over) {
        pullsMs.push(...(await pullBoth()))
        residents.push(await residentMib(target))
        await Promise.race([ended, delay(1_000)])
      }
      // What is kept shows between collections of garbage, which come when they come.
      const finalMib = Math.min(...residents.slice(-5))
      const report = await ended

      const sent = report.sent.udp + report.sent.p2p + report.sent.registry
      const rate = sent / ((performance.now() - startedMs) / 1000)
      const mib = (value: number) => `${value.toFixed(1)} MiB`
      t.diagnostic(
        `${sent} frames, ${Math.round(rate)} a second; resident ${mib(idleMib)} before, ${mib(settledMib)} after 5 s, ${mib(finalMib)} after ${seconds} s; ${pullsMs.length} pulls, the slowest took ${Math.round(Math.max(...pullsMs))} ms`,
      )
      assert.ok(sent / report.seconds >= minRate, `only ${Math.round(sent / report.seconds)} frames a second`)
      assert.ok(pullsMs.length >= 10)
      assert.ok(finalMib <= settledMib + maxGrowthMib, `it grew by ${mib(finalMib - settledMib)}`)
      for (const [metric, labels, atLeast] of refusals) {
        const count = (await target.metric(metric, labels)) ?? 0
        assert.ok(count >= atLeast, `${metric}{${labels}} is ${count}`)
      }
      await assertWhole(cluster, pids)
    })
  })
})
