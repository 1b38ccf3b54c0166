import { join } from 'node:path'
import { stringify } from 'yaml'
import { initTrust } from '../../lib/app/trust/init.ts'
import type { PeerView } from '../../lib/core/ops-view.ts'
import { LayoutWriter } from '../../lib/oci-layout/writer.ts'
import { namespaceNetwork } from './cluster/namespaces.ts'
import { type ClusterNetwork, loopbackNetwork } from './cluster/network.ts'
import { ClusterNode } from './cluster/node-process.ts'
import { eventually } from './eventually.ts'
import { nodeFlags, starlingBin } from './project.ts'
import { tempFolder } from './temp-folder.ts'

export type NodeConfigFile = Readonly<Record<string, unknown>>

/** What is known of a node before its configuration is written. */
export interface NodePlace {
  readonly index: number
  readonly name: string
  readonly dir: string
  readonly address: string
}

export interface ClusterOptions {
  readonly nodes: number
  /** Keys of `mirrors:` in registries.yaml; default `registry.test`. */
  readonly mirrors?: readonly string[]
  /** `oci-layout` (default) gives each node an empty folder, `<dir>/oci`; else the `store` of the configuration. */
  readonly store?: 'oci-layout' | ((place: NodePlace) => Promise<object> | object)
  /** `loopback` (default), `namespaces` (root), or one that the caller made and disposes. */
  readonly network?: 'loopback' | 'namespaces' | ClusterNetwork
  readonly p2pPort?: number
  readonly registryPort?: number
  readonly zoneOf?: (index: number) => string
  readonly bootstrapOf?: (index: number) => readonly string[]
  /** Has the last word on a node's configuration file. */
  readonly configure?: (config: NodeConfigFile, place: NodePlace) => NodeConfigFile
  /** How many nodes are started, and awaited, at once; default all. */
  readonly started?: number
  /** Default: the sources of this repository. */
  readonly bin?: string
  /** Flags of Node itself; default those of production. */
  readonly nodeFlags?: readonly string[]
  /** For nodes that share an address; default `p2pPort` and `registryPort` for all. */
  readonly portsOf?: (index: number) => { readonly p2p: number; readonly registry: number }
  /** Where everything is put; default a temporary folder that is removed. */
  readonly dir?: string
  readonly logLevel?: 'debug' | 'info' | 'warn' | 'error'
}

export interface Cluster extends AsyncDisposable {
  readonly dir: string
  /** Holds `ca/` and a folder for each node, as `starling trust init` makes it. */
  readonly trustDir: string
  readonly network: ClusterNetwork
  readonly nodes: readonly ClusterNode[]
  /** @throws Error where there is no such node */
  node(index: number): ClusterNode
  /** Waits until each of these nodes (default: all that run) sees all of them alive. */
  waitWhole(indexes?: readonly number[], timeoutMs?: number): Promise<void>
  /** The ends of all logs, for a failure. */
  logTails(): string
  dispose(): Promise<void>
}

async function makeNetwork(options: ClusterOptions): Promise<{ network: ClusterNetwork; owned: boolean }> {
  const { network = 'loopback', nodes } = options
  if (network === 'loopback') return { network: loopbackNetwork(), owned: true }
  if (network === 'namespaces') return { network: await namespaceNetwork(nodes), owned: true }
  return { network, owned: false }
}

function portsOf(options: ClusterOptions, index: number): { p2p: number; registry: number } {
  const { p2pPort = 5001, registryPort = 6443 } = options
  return options.portsOf?.(index) ?? { p2p: p2pPort, registry: registryPort }
}

function baseConfig(
  place: NodePlace,
  options: ClusterOptions,
  more: { trustDir: string; store: object; bootstrap: readonly string[] },
): NodeConfigFile {
  const { zoneOf, logLevel = 'info' } = options
  const { p2p: p2pPort, registry: registryPort } = portsOf(options, place.index)
  return {
    node: { name: place.name, ...(zoneOf === undefined ? {} : { zone: zoneOf(place.index) }) },
    dataDir: join(place.dir, 'data'),
    registries: join(place.dir, 'registries.yaml'),
    registry: { listen: `${place.address}:${registryPort}` },
    p2p: { listen: `${place.address}:${p2pPort}` },
    bootstrap: more.bootstrap,
    store: more.store,
    trust: { dir: more.trustDir },
    ops: { socket: join(place.dir, 'ops.sock') },
    log: { level: logLevel },
    shutdownGrace: '5s',
    certsDir: join(place.dir, 'certs.d'),
  }
}

async function makeNodes(
  dir: string,
  network: ClusterNetwork,
  options: ClusterOptions,
): Promise<ClusterNode[]> {
  const { mirrors = ['registry.test'], store = 'oci-layout' } = options
  const trustDir = join(dir, 'trust')
  const places: NodePlace[] = Array.from({ length: options.nodes }, (_, index) => ({
    index,
    name: `node-${index + 1}`,
    dir: join(dir, `node-${index + 1}`),
    address: network.addressOf(index),
  }))
  await initTrust({
    dir: trustDir,
    nodes: places.map(({ name, address }) => ({ name, addresses: [address] })),
  })
  const firstThree = places.slice(0, 3)
  const nodes: ClusterNode[] = []
  for (const place of places) {
    if (store === 'oci-layout') await LayoutWriter.open(join(place.dir, 'oci'))
    const own = {
      trustDir: join(trustDir, place.name),
      store:
        store === 'oci-layout' ? { type: 'oci-layout', path: join(place.dir, 'oci') } : await store(place),
      bootstrap:
        options.bootstrapOf?.(place.index) ??
        firstThree
          .filter((other) => other !== place)
          .map((other) => `${other.address}:${portsOf(options, other.index).p2p}`),
    }
    const config = baseConfig(place, options, own)
    const node = new ClusterNode({
      ...place,
      trustDir: own.trustDir,
      network,
      registryPort: portsOf(options, place.index).registry,
      nodeFlags: options.nodeFlags ?? nodeFlags(),
      bin: options.bin ?? starlingBin,
      config: options.configure?.(config, place) ?? config,
      registries: stringify({ mirrors: Object.fromEntries(mirrors.map((name) => [name, {}])) }),
    })
    await node.writeFiles()
    nodes.push(node)
  }
  return nodes
}

/**
 * Real nodes as real processes, with trust files as in production. Everything ends with `dispose` (or `await using`),
 * and at the latest with this process.
 */
export async function createCluster(options: ClusterOptions): Promise<Cluster> {
  await using undo = new AsyncDisposableStack()
  const dir = options.dir ?? undo.use(await tempFolder('c')).path
  const { network, owned } = await makeNetwork(options)
  if (owned) undo.use(network)
  const nodes = await makeNodes(dir, network, options)
  undo.defer(async () => {
    await Promise.all(nodes.map((node) => node.kill()))
  })
  const started = nodes.slice(0, options.started ?? nodes.length)
  for (const node of started) node.launch()
  await Promise.all(started.map((node) => node.waitReady()))
  const cleanup = undo.move()
  const node = (index: number): ClusterNode => {
    const found = nodes[index]
    if (found === undefined) throw new Error(`there is no node ${index} in this cluster`)
    return found
  }
  const seesAll = async (viewer: ClusterNode, all: readonly ClusterNode[]) => {
    const peers = await viewer.ops<PeerView[]>('peers')
    return all.every((other) => peers.some((peer) => peer.name === other.name && peer.state === 'alive'))
  }
  const cluster: Cluster = {
    dir,
    trustDir: join(dir, 'trust'),
    network,
    nodes,
    node,
    async waitWhole(indexes, timeoutMs = 30_000) {
      const all = indexes?.map(node) ?? nodes.filter((candidate) => candidate.running)
      await eventually(
        async () => (await Promise.all(all.map((viewer) => seesAll(viewer, all)))).every(Boolean),
        {
          timeoutMs,
          intervalMs: 50,
          what: `a cluster of ${all.length} nodes that all see one another`,
        },
      )
    },
    logTails: () => nodes.map((candidate) => candidate.logTail()).join('\n'),
    dispose: () => cleanup.disposeAsync(),
    [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
  }
  if (started.length > 1) await cluster.waitWhole()
  return cluster
}

/** Runs `body` with a cluster and disposes it; when `body` fails, the ends of all logs are printed. */
export async function withCluster<T>(
  options: ClusterOptions,
  body: (cluster: Cluster) => Promise<T>,
): Promise<T> {
  await using cluster = await createCluster(options)
  try {
    return await body(cluster)
  } catch (error) {
    process.stderr.write(`${cluster.logTails()}\n`)
    throw error
  }
}
