import { chmod, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { LayoutWriter } from '../../../lib/oci-layout/writer.ts'
import { nodeFlags, starlingBin } from '../project.ts'
import { tempFolder } from '../temp-folder.ts'
import { type ClusterNetwork, loopbackNetwork } from './network.ts'
import { ClusterNode } from './node-process.ts'

export interface JoinedNodeOptions {
  readonly role?: 'agent' | 'server'
  /** The server that it joins, and the token. */
  readonly through?: { readonly server: ClusterNode; readonly token: string }
  /** Has the last word on config.yaml. */
  readonly config?: object
  /** Default: an OCI layout of its own. */
  readonly store?: object
  /** Default: `registry.test`. */
  readonly mirrors?: readonly string[]
}

/** Servers and agents that share nothing but a URL and a token. */
export interface JoinedNodes extends AsyncDisposable {
  readonly dir: string
  readonly network: ClusterNetwork
  readonly nodes: readonly ClusterNode[]
  /** Writes the files of a further node, in an empty folder, and does not start it. */
  add(name: string, options?: JoinedNodeOptions): Promise<ClusterNode>
  logTails(): string
}

/** The token that the first server has written. */
export async function firstToken(server: ClusterNode, usage: 'node' | 'server'): Promise<string> {
  return (await readFile(join(server.dir, 'data', 'server', `${usage}-token`), 'utf8')).trim()
}

/** Replaces keys of a node's config.yaml, by rename. */
export async function editConfig(
  node: ClusterNode,
  change: (config: Record<string, unknown>) => object,
): Promise<void> {
  const { parse } = await import('yaml')
  const config = parse(await readFile(node.configFile, 'utf8')) as Record<string, unknown>
  await writeFile(`${node.configFile}.new`, stringify(change(config)))
  await rename(`${node.configFile}.new`, node.configFile)
}

/** `bin`: what is run; default: the sources. */
export async function createJoinedNodes({ bin = starlingBin } = {}): Promise<JoinedNodes> {
  await using undo = new AsyncDisposableStack()
  const dir = undo.use(await tempFolder('j')).path
  const network = undo.use(loopbackNetwork())
  const nodes: ClusterNode[] = []
  undo.defer(async () => {
    await Promise.all(nodes.map((node) => node.kill()))
  })
  const cleanup = undo.move()

  async function add(name: string, options: JoinedNodeOptions = {}): Promise<ClusterNode> {
    const { role = 'agent', through, mirrors = ['registry.test'] } = options
    const index = nodes.length
    const place = join(dir, name)
    const address = network.addressOf(index)
    const store = options.store ?? { type: 'oci-layout', path: join(place, 'oci') }
    const node = new ClusterNode({
      index,
      name,
      dir: place,
      role,
      trustDir: join(place, 'data', 'trust'),
      network,
      registryPort: 6443,
      bin,
      nodeFlags: nodeFlags(),
      config: {
        node: { name },
        dataDir: 'data',
        registries: 'registries.yaml',
        registry: { listen: `${address}:6443` },
        p2p: { listen: `${address}:5001` },
        supervisor: { listen: `${address}:9345` },
        store,
        ops: { socket: join(place, 'ops.sock') },
        shutdownGrace: '2s',
        certsDir: 'certs.d',
        manageHosts: true,
        ...(through === undefined
          ? {}
          : { server: `https://${through.server.address}:9345`, tokenFile: 'token' }),
        ...options.config,
      },
      registries: stringify({ mirrors: Object.fromEntries(mirrors.map((mirror) => [mirror, {}])) }),
    })
    await node.writeFiles()
    if (through !== undefined) {
      await writeFile(join(place, 'token'), `${through.token}\n`, { mode: 0o600 })
      await chmod(join(place, 'token'), 0o600)
    }
    if (options.store === undefined) await LayoutWriter.open(join(place, 'oci'))
    nodes.push(node)
    return node
  }

  return {
    dir,
    network,
    nodes,
    add,
    logTails: () => nodes.map((node) => node.logTail()).join('\n'),
    [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
  }
}
