import assert from 'node:assert/strict'
import { networkInterfaces } from 'node:os'
import { describe, it } from 'node:test'
import { builtBin } from '../support/built.ts'
import { losses } from '../support/cluster/losses.ts'
import { putImage } from '../support/cluster/put-image.ts'
import { waitHolders, waitState } from '../support/cluster/views.ts'
import { type NodeConfigFile, type NodePlace, withCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { buildImage } from '../support/oci-image.ts'

const hasIpv6 = Object.values(networkInterfaces()).some((list) =>
  list?.some(({ address }) => address === '::1'),
)
const withinMs = 60_000
/** Each node probes one other in a second. */
const probes = 12
const basePort = 26_000 + (process.pid % 500) * 8

const [onlyIpv4, onlyIpv6, both] = [0, 1, 2]

function listen({ index, address }: NodePlace): { p2p: object; registry: object } {
  const [p2p, registry] = [basePort + index, basePort + 4 + index]
  // Bound to all addresses, known under one.
  if (index === onlyIpv4)
    return {
      p2p: { listen: `0.0.0.0:${p2p}`, advertise: `${address}:${p2p}` },
      registry: { listen: `${address}:${registry}` },
    }
  const listen = [`[::1]:${p2p}`, ...(index === both ? [`${address}:${p2p}`] : [])]
  // The others look for its registry where they find the node itself.
  const host = index === both ? address : '[::1]'
  return { p2p: { listen }, registry: { listen: `${host}:${registry}` } }
}

describe('addresses of both families', { skip: hasIpv6 ? false : 'there is no IPv6 here' }, () => {
  it('a node of each family and one of both are one cluster, also where no datagram can pass between two of them', async () => {
    const options = {
      nodes: 3,
      bin: await builtBin(),
      portsOf: (index: number) => ({ p2p: basePort + index, registry: basePort + 4 + index }),
      // They find each other through the one that has both.
      bootstrapOf: (index: number) => (index === both ? [] : [`[::1]:${basePort + both}`]),
      configure: (config: NodeConfigFile, place: NodePlace) => ({ ...config, ...listen(place) }),
    }
    await withCluster(options, async ({ nodes, node }) => {
      await waitState(nodes, nodes, 'alive', withinMs)
      const image = await buildImage({ seed: 'families', layers: [{ sizeBytes: 10_000 }] })
      await putImage(node(onlyIpv6), 'registry.test/families:1', image)
      await waitHolders(nodes, 'registry.test/families:1', [node(onlyIpv6)], withinMs)
      const path = `/v2/families/blobs/${image.layers[0]?.digest}?ns=registry.test`
      const got = await node(onlyIpv4).fetch(path)
      assert.deepEqual([got.status, got.digest], [200, image.layers[0]?.digest])
      const sent = await node(both).metric('starling_datagrams_sent_total')
      await eventually(
        async () => ((await node(both).metric('starling_datagrams_sent_total')) ?? 0) >= (sent ?? 0) + probes,
        {
          timeoutMs: withinMs,
          intervalMs: 500,
          what: `${probes} more datagrams of the node with both families`,
        },
      )
      assert.deepEqual(losses(nodes, 'dead'), [])
      await waitState(nodes, nodes, 'alive', withinMs)
    })
  })
})
