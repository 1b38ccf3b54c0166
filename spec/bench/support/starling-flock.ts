import { builtBin } from '../../support/built.ts'
import { waitAllAlive } from '../../support/cluster/views.ts'
import { createCluster, type NodeConfigFile } from '../../support/cluster.ts'
import { registry } from './bench-cluster.ts'
import type { AgentFlock } from './flock.ts'
import { loopbackNamespace } from './loopback-namespace.ts'
import { shareOne } from './share-image.ts'

/** Nodes of built JavaScript as in production, with a loopback of their own. `udp`: false for a cluster over TCP alone. */
export async function starlingFlock(size: number, timeoutMs: number, udp = true): Promise<AgentFlock> {
  const network = loopbackNamespace('starling')
  const bin = await builtBin()
  // Many nodes share few cores here, and their registries have nothing to do.
  const configure = (config: NodeConfigFile) => ({
    ...config,
    p2p: { ...(config.p2p as object), udp },
    registry: { ...(config.registry as object), workers: 1 },
  })
  const options = { nodes: size, network, bin, mirrors: [registry], started: 0, configure }
  const cluster = await createCluster(options)
  for (const node of cluster.nodes) node.launch()
  await Promise.all(cluster.nodes.map((node) => node.waitReady(timeoutMs, 500)))
  const numberOf = new Map(cluster.nodes.map(({ name }, index) => [name, index]))
  return {
    label: udp ? 'Starling' : 'Starling, TCP alone',
    size,
    pidOf: (index) => cluster.node(index).pid ?? 0,
    kill: (index) => cluster.node(index).kill(),
    pause: (index) => cluster.node(index).pause(),
    resume: (index) => cluster.node(index).resume(),
    vanish(index) {
      network.silence(index)
      cluster.node(index).pause()
    },
    heal: () => network.heal(),
    announce: (index, turn) => shareOne(cluster, cluster.node(index), turn),
    restart: (index) => cluster.node(index).start(timeoutMs),
    losses: () =>
      cluster.nodes.flatMap((node, viewer) =>
        node
          .logs()
          .filter(({ msg, to }) => msg === 'a member is lost' && to === 'dead')
          .map(({ name, time }) => ({
            viewer,
            lost: numberOf.get(String(name)) ?? -1,
            atMs: Date.parse(time),
          })),
      ),
    waitWhole: (limitMs) => waitAllAlive(cluster.nodes, limitMs),
    sentBytes: () => network.sentBytes(),
    async [Symbol.asyncDispose]() {
      await cluster.dispose()
      await network[Symbol.asyncDispose]()
    },
  }
}
