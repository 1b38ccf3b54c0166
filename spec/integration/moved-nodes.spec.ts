import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { after, before, describe, it } from 'node:test'
import { parse, stringify } from 'yaml'
import type { PeerView } from '../../lib/core/ops-view.ts'
import { builtBin } from '../support/built.ts'
import { loopbackNetwork } from '../support/cluster/network.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { makeTestCluster, readTestAuthority, writeTestCredentials } from '../support/test-trust.ts'

const withinMs = 90_000
const [p2pPort, registryPort] = [5001, 6443]

interface Written {
  readonly node: { readonly name: string }
  readonly [section: string]: unknown
}

async function rewrite({ configFile }: ClusterNode, change: (config: Written) => object): Promise<void> {
  await writeFile(configFile, stringify(change(parse(await readFile(configFile, 'utf8')) as Written)))
}

/** What each viewer says of the members with this name: addresses and states. */
async function views(viewers: readonly ClusterNode[], name: string): Promise<string[]> {
  const all = await Promise.all(viewers.map((viewer) => viewer.ops<PeerView[]>('peers')))
  return all.map((peers) =>
    peers
      .filter((peer) => peer.name === name)
      .map(({ addresses, state }) => `${addresses.join('+')} ${state}`)
      .sort()
      .join(', '),
  )
}

async function waitViews(viewers: readonly ClusterNode[], name: string, wanted: string): Promise<void> {
  await eventually(
    async () => {
      const found = await views(viewers, name)
      if (found.some((view) => view !== wanted)) throw new Error(`they know ${JSON.stringify(found)}`)
      return true
    },
    { timeoutMs: withinMs, intervalMs: 200, what: `${viewers.length} nodes know ${name} at ${wanted}` },
  )
}

describe('names and addresses of nodes', () => {
  let cluster: Cluster
  const network = loopbackNetwork()

  before(async () => {
    cluster = await createCluster({
      nodes: 4,
      network,
      started: 3,
      bin: await builtBin(),
      p2pPort,
      registryPort,
    })
  })

  after(async () => {
    await cluster?.dispose()
    await network[Symbol.asyncDispose]()
  })

  for (const [how, stopped] of [
    ['has said goodbye', (node: ClusterNode) => node.stop()],
    ['was killed', (node: ClusterNode) => node.kill()],
  ] as const) {
    it(`a node that ${how} and is back at another address is known there alone`, async () => {
      const [first, second, mover] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode]
      const viewers = [first, second]
      const address = network.addressOf(how === 'was killed' ? 20 : 21)
      await stopped(mover)
      await rewrite(mover, (config) => ({
        ...config,
        p2p: { listen: `${address}:${p2pPort}` },
        registry: { listen: `${address}:${registryPort}` },
      }))
      await mover.start(withinMs)
      await waitViews([...viewers, mover], mover.name, `${address}:${p2pPort} alive`)
    })
  }

  it('two nodes with the same name are both members and are reported with their addresses', async () => {
    const [first, second] = cluster.nodes as [ClusterNode, ClusterNode]
    const twin = cluster.node(3)
    const set = await makeTestCluster({
      authority: await readTestAuthority(cluster.trustDir),
      nodes: [{ name: second.name, addresses: [twin.address] }],
    })
    const credentials = set.get(second.name)
    assert.ok(credentials)
    await rm(twin.trustDir, { recursive: true })
    await writeTestCredentials(twin.trustDir, credentials)
    await rewrite(twin, (config) => ({ ...config, node: { ...config.node, name: second.name } }))
    await twin.start(withinMs)
    const addresses = [second, twin].map(({ address }) => `${address}:${p2pPort}`).sort()
    const reported = (viewer: ClusterNode) =>
      viewer
        .logs()
        .filter(({ msg, name }) => msg.includes('have the same name') && name === second.name)
        .map(({ nodes }) => (nodes as { addresses: string[] }[]).flatMap((node) => node.addresses).sort())
    await eventually(() => [first, second, twin].every((viewer) => reported(viewer).length > 0), {
      timeoutMs: withinMs,
      intervalMs: 200,
      what: `a report of two nodes with the name ${second.name}`,
    })
    for (const viewer of [first, second, twin]) assert.deepEqual(reported(viewer)[0], addresses)
    const wanted = addresses.map((address) => `${address} alive`).join(', ')
    await waitViews([first, second, twin], second.name, wanted)
  })
})
