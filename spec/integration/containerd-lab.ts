import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { type Digest, digestHex } from '../../lib/core/digest.ts'
import { systemErrorCode } from '../../lib/core/errors.ts'
import type { WhereView } from '../../lib/core/ops-view.ts'
import type { ClusterNetwork } from '../support/cluster/network.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { type Cluster, type ClusterOptions, createCluster } from '../support/cluster.ts'
import { type ConnectProxy, startConnectProxy } from '../support/connect-proxy.ts'
import { containerdAvailable, startContainerd, type TestContainerd } from '../support/containerd.ts'
import { eventually } from '../support/eventually.ts'
import { writeOciArchive, writeOciLayout } from '../support/oci-files.ts'
import type { TestImage } from '../support/oci-image.ts'
import { runOrFail } from '../support/processes.ts'
import { starlingBin } from '../support/project.ts'
import { skipWithout } from '../support/requirements.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { makeTestAuthority, makeTestCluster } from '../support/test-trust.ts'
import { startUpstreamRegistry, type UpstreamRegistry } from '../support/upstream-registry.ts'

/** The registry that upstream is, and one that no machine serves. */
export const registry = 'upstream.test:5000'
export const madeUp = 'made-up.test'

/** For the `skip` option of the tests. */
export const skipLab: string | false =
  containerdAvailable() ?? skipWithout('root', 'containerd', 'ctr', 'docker-registry', 'skopeo')

/** A node of the lab: Starling and its containerd. */
export interface LabNode {
  readonly starling: ClusterNode
  readonly containerd: TestContainerd
}

/**
 * Containerds with one Starling each, and Debian's docker-registry as upstream. All is as in production: hosts.toml is what
 * `starling configure` wrote, and upstream speaks TLS. Its name, `upstream.test:5000`, reaches it through `HTTPS_PROXY`
 * (Go asks loopback addresses, so the mirror, without a proxy), and `SSL_CERT_FILE` makes its CA a CA of the system.
 */
export interface Lab extends AsyncDisposable {
  readonly cluster: Cluster
  readonly nodes: readonly LabNode[]
  readonly upstream: UpstreamRegistry
  readonly proxy: ConnectProxy
  /** @throws Error where there is no such node */
  node(index: number): LabNode
  /** Pushes an image to upstream as `repository:tag` of `registry`. */
  push(target: string, image: TestImage): Promise<void>
  /** From now on upstream answers this node, and no other, with this status; until `admit`. */
  answerWith(node: LabNode, status: number): Promise<void>
  admit(node: LabNode): void
  /** `ctr images import` under a name. */
  import(index: number, name: string, image: TestImage): Promise<void>
  /** `ctr content fetch` through hosts.toml: a pull that does not unpack, for large images. */
  fetch(index: number, name: string): Promise<void>
}

async function startUpstream(dir: string, address: string) {
  const [host, port] = registry.split(':')
  const authority = await makeTestAuthority()
  const credentials = await makeTestCluster({
    authority,
    nodes: [{ name: host ?? '', addresses: [address] }],
  })
  const { serving, serverCaPem } = [...credentials.values()][0] ?? {}
  const files = { ca: join(dir, 'ca.crt'), cert: join(dir, 'tls.crt'), key: join(dir, 'tls.key') }
  await writeFile(files.ca, serverCaPem ?? '')
  await writeFile(files.cert, serving?.certPem ?? '')
  await writeFile(files.key, serving?.keyPem ?? '', { mode: 0o600 })
  const tls = { certFile: files.cert, keyFile: files.key }
  const upstream = await startUpstreamRegistry({ dir: join(dir, 'up'), address, port: Number(port), tls })
  const refuser = (status: number): Server =>
    createServer({ cert: serving?.certPem, key: serving?.keyPem }, (_request, response) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end('{"errors":[]}')
    })
  return { upstream, caFile: files.ca, refuser }
}

/** Starts it, with three nodes unless told otherwise; `starling configure` has run on each. */
export async function startLab(
  options: Partial<Pick<ClusterOptions, 'zoneOf' | 'nodes' | 'started' | 'configure' | 'logLevel'>> & {
    bytesPerSecond?: number
    /** Where the nodes live; default addresses of loopback. */
    network?: ClusterNetwork
    /** The containerds serve the kubelet, too. */
    cri?: boolean
    pullTimeoutMs?: number
  } = {},
): Promise<Lab> {
  await using undo = new AsyncDisposableStack()
  const dir = undo.use(await tempFolder('lab')).path
  const { network } = options
  const address = network?.hostAddress ?? `127.${10 + (process.pid % 200)}.251.1`
  const { upstream, caFile, refuser } = await startUpstream(dir, address)
  undo.use(upstream)
  const { bytesPerSecond = Number.POSITIVE_INFINITY, ...clusterOptions } = options
  const routes = { [registry]: upstream.host }
  const proxy = undo.use(await startConnectProxy({ address, routes, bytesPerSecond }))
  const containerds: TestContainerd[] = []
  undo.defer(async () => {
    await Promise.all(containerds.map((containerd) => containerd.kill()))
  })
  const cluster = undo.use(
    await createCluster({
      nodes: 3,
      ...clusterOptions,
      dir,
      mirrors: [registry, madeUp],
      async store(place) {
        const certsDir = join(place.dir, 'certs.d')
        const url = proxy.url.replace('//', `//${place.name}@`)
        const env = { HTTPS_PROXY: url, NO_PROXY: '10.0.0.0/8', SSL_CERT_FILE: caFile }
        const dir = join(place.dir, 'cd')
        const inside = network?.commandFor.bind(network, place.index)
        const more = {
          ...(inside === undefined ? {} : { inside }),
          ...(options.cri === true ? { cri: { certsDir } } : {}),
          ...(options.pullTimeoutMs === undefined ? {} : { pullTimeoutMs: options.pullTimeoutMs }),
        }
        const containerd = await startContainerd({ dir, certsDir, env, ...more })
        containerds[place.index] = containerd
        return { type: 'containerd', socket: containerd.socket }
      },
    }),
  )
  const nodes = cluster.nodes.map((starling, index) => {
    const containerd = containerds[index]
    if (containerd === undefined) throw new Error(`${starling.name} has no containerd`)
    return { starling, containerd }
  })
  for (const { starling } of nodes) {
    await runOrFail(process.execPath, [starlingBin, 'configure', '--config', starling.configFile])
  }
  const cleanup = undo.move()
  const node = (index: number): LabNode => {
    const found = nodes[index]
    if (found === undefined) throw new Error(`there is no node ${index} in this lab`)
    return found
  }
  let files = 0
  return {
    cluster,
    nodes,
    upstream,
    proxy,
    node,
    async push(target, image) {
      const layout = join(dir, `layout-${++files}`)
      const tag = target.slice(target.lastIndexOf(':') + 1)
      await writeOciLayout(layout, [{ name: `${registry}/${target}`, image }])
      await upstream.push(layout, tag, target)
      await rm(layout, { recursive: true })
    },
    async answerWith({ starling }, status) {
      const server = refuser(status).listen(0, address).unref()
      cleanup.defer(() => void server.close().closeAllConnections())
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      proxy.redirect(starling.name, `${address}:${port}`)
    },
    admit: ({ starling }) => proxy.admit(starling.name),
    async import(index, name, image) {
      const archive = join(dir, `archive-${++files}.tar`)
      await writeOciArchive(archive, [{ name, image }])
      await node(index).containerd.ctr('images', 'import', '--no-unpack', '--all-platforms', archive)
      await rm(archive)
    },
    async fetch(index, name) {
      const { starling, containerd } = node(index)
      await containerd.ctr('content', 'fetch', '--hosts-dir', join(starling.dir, 'certs.d'), name)
    },
    [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
  }
}

const blobFile = (containerd: TestContainerd, digest: Digest) =>
  join(containerd.contentPath, 'blobs', 'sha256', digestHex(digest))

/**
 * SHA-256 of the file of a blob in a containerd's content store, or of its first `sizeBytes` bytes; undefined where it is
 * not there.
 */
export async function digestOnDisk(
  containerd: TestContainerd,
  digest: Digest,
  sizeBytes = Number.MAX_SAFE_INTEGER,
): Promise<string | undefined> {
  const hash = createHash('sha256')
  const file = createReadStream(blobFile(containerd, digest), {
    end: sizeBytes - 1,
    highWaterMark: 2 ** 20,
  })
  try {
    await pipeline(file, hash)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  }
  return `sha256:${hash.digest('hex')}`
}

/** How many bytes of a blob a containerd has of a download that is under way; 0 where there is none. */
export async function ingestedBytes(containerd: TestContainerd, digest: Digest): Promise<number> {
  const ingests = join(containerd.contentPath, 'ingest')
  for (const folder of await readdir(ingests).catch(() => [])) {
    const ref = await readFile(join(ingests, folder, 'ref'), 'utf8').catch(() => '')
    if (!ref.endsWith(digestHex(digest))) continue
    return (await stat(join(ingests, folder, 'data')).catch(() => undefined))?.size ?? 0
  }
  return 0
}

/** The digests of an image whose file in a containerd's content store is missing or has other bytes. */
export async function wrongBlobs(containerd: TestContainerd, image: TestImage): Promise<Digest[]> {
  const wrong: Digest[] = []
  for (const digest of image.blobs.keys()) {
    if ((await digestOnDisk(containerd, digest)) !== digest) wrong.push(digest)
  }
  return wrong
}

/** Names of the live nodes that hold a digest or the image of a reference, as a node knows it; sorted. */
export async function holdersOf(node: ClusterNode, query: string): Promise<string[]> {
  const where = await node.ops<WhereView>(`where/${query}`)
  return where.holders
    .filter((holder) => holder.state === 'alive')
    .map((holder) => holder.name)
    .sort()
}

/** Waits until a node knows exactly these holders of the image of a reference (`none`: of nobody who has it). */
export async function waitHolders(
  node: ClusterNode,
  query: string,
  names: readonly string[],
  timeoutMs = 40_000,
): Promise<void> {
  const wanted = [...names].sort().join()
  let known = ''
  const check = async () => {
    known = (await holdersOf(node, query)).join()
    return known === wanted
  }
  const what = `${node.name} knows [${wanted}] as the holders of ${query}`
  await eventually(check, { timeoutMs, what }).catch((error: unknown) => {
    throw new Error(`${String(error)}; it knows [${known}]`, { cause: error })
  })
}
