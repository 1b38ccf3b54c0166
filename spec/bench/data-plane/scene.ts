import { dirname, join } from 'node:path'
import type { Digest } from '../../../lib/core/digest.ts'
import { blobFile } from '../../integration/transfer/shared-blob.ts'
import { putSparseBlob } from '../../integration/transfer/sparse-blob.ts'
import { builtBin } from '../../support/built.ts'
import type { ClusterNode } from '../../support/cluster/node-process.ts'
import { waitHolders } from '../../support/cluster/views.ts'
import { type Cluster, createCluster } from '../../support/cluster.ts'
import { eventually } from '../../support/eventually.ts'
import { startUpstreamRegistry } from '../../support/upstream-registry.ts'
import { registry } from '../support/bench-cluster.ts'
import { curlTls } from '../support/curl.ts'
import { startNginx } from '../support/nginx.ts'
import { startPullThrough } from '../support/pull-through.ts'
import type { Subject } from './measure.ts'

/** Nodes by what they are for. */
const roles = [
  'holder',
  'second',
  'third',
  'requester',
  'unchecked holder',
  'unchecked requester',
  'redirecting',
] as const
type Role = (typeof roles)[number]

const transferOf: Partial<Record<Role, object>> = {
  'unchecked holder': { verify: 'off' },
  'unchecked requester': { verify: 'off' },
  redirecting: { mode: 'redirect' },
}

/** Everything that is compared with blobs of one size. */
export interface Scene extends AsyncDisposable {
  readonly subjects: Readonly<Record<'local' | 'proxied' | 'striped' | 'redirected', readonly Subject[]>>
}

/** As many requests at once as the clients make, so that none is sent away. */
const bounds = { upload: { atOnce: 512, atOncePerPeer: 128 }, download: { atOnce: 512, atOncePerPeer: 128 } }

async function startNodes(): Promise<{ cluster: Cluster; node: (role: Role) => ClusterNode }> {
  const cluster = await createCluster({
    nodes: roles.length,
    bin: await builtBin(),
    mirrors: [registry],
    configure: (config, { index }) => ({
      ...config,
      transfer: { ...bounds, ...transferOf[roles[index] as Role] },
    }),
  })
  return { cluster, node: (role) => cluster.node(roles.indexOf(role)) }
}

/** Starts nodes, nginx and docker-registry on loopback, each with a blob of so many bytes. */
export async function startScene(sizeBytes: number): Promise<Scene> {
  await using undo = new AsyncDisposableStack()
  const { cluster, node } = await startNodes()
  undo.use(cluster)
  const [holder, requester] = [node('holder'), node('requester')]
  const put = async (seed: number, holders: readonly Role[]): Promise<Digest> => {
    const having = holders.map(node)
    const digest = await putSparseBlob(having, sizeBytes, seed)
    await waitHolders(cluster.nodes, digest, having, 60_000)
    return digest
  }
  const one = await put(1, ['holder'])
  const three = await put(2, ['holder', 'second', 'third'])
  const unchecked = await put(3, ['unchecked holder'])
  for (const role of ['holder', 'second', 'third'] as const) await mapped(node(role), sizeBytes)

  const nginx = { tlsPort: 8443, trustDir: holder.trustDir }
  const origin = undo.use(
    await startNginx({
      ...nginx,
      dir: join(cluster.dir, 'nginx'),
      address: holder.address,
      from: { folder: dirname(blobFile(holder, one)) },
    }),
  )
  const proxy = undo.use(
    await startNginx({
      ...nginx,
      dir: join(cluster.dir, 'nginx-proxy'),
      address: requester.address,
      trustDir: requester.trustDir,
      from: { upstream: `https://${holder.address}:8443`, name: holder.name },
    }),
  )
  const upstream = undo.use(
    await startUpstreamRegistry({ dir: join(cluster.dir, 'up'), address: holder.address, port: 5500 }),
  )
  await upstream.push(join(holder.dir, 'oci'), '1', 'bench/blob:1')
  const cache = undo.use(
    await startPullThrough({
      dir: join(cluster.dir, 'cache'),
      node: requester,
      port: 5501,
      upstreamUrl: `http://${upstream.host}`,
    }),
  )

  const file = one.slice('sha256:'.length)
  const path = (digest: string) => `/v2/bench/blob/blobs/${digest}?ns=${registry}`
  const of = (
    what: string,
    asked: ClusterNode,
    digest: Digest,
    holders: readonly ClusterNode[],
    reference: string,
  ): Subject => ({
    what,
    reference,
    url: `${asked.registryUrl}${path(digest)}`,
    tls: curlTls(asked.trustDir),
    asked: asked.pid ?? 0,
    holders: holders.map(({ pid }) => pid ?? 0),
    node: asked,
  })
  const nginxLocal: Subject = {
    what: 'nginx, TLS',
    url: `https://${holder.address}:8443/${file}`,
    tls: curlTls(holder.trustDir),
    asked: origin.pid,
    holders: [],
  }
  const nginxProxy: Subject = {
    what: 'nginx before nginx, TLS twice',
    url: `https://${requester.address}:8443/${file}`,
    tls: curlTls(requester.trustDir),
    asked: proxy.pid,
    holders: [origin.pid],
  }
  const pullThrough: Subject = {
    what: 'docker-registry, from its cache',
    reference: nginxLocal.what,
    url: `${cache.url}/v2/bench/blob/blobs/${one}`,
    tls: curlTls(requester.trustDir),
    asked: cache.pid,
    holders: [],
  }
  const second = [holder, node('second'), node('third')]
  const noChecks = node('unchecked holder')
  const cleanup = undo.move()
  return {
    subjects: {
      local: [
        nginxLocal,
        pullThrough,
        of('Starling, own blob', holder, one, [], nginxLocal.what),
        of('Starling, own blob, checks off', noChecks, unchecked, [], nginxLocal.what),
      ],
      proxied: [
        nginxProxy,
        of('Starling, from one holder', requester, one, [holder], nginxProxy.what),
        of(
          'Starling, from one holder, checks off',
          node('unchecked requester'),
          unchecked,
          [noChecks],
          nginxProxy.what,
        ),
      ],
      striped: [
        nginxProxy,
        of('Starling, from one holder', requester, one, [holder], nginxProxy.what),
        of('Starling, from three holders', requester, three, second, nginxProxy.what),
      ],
      redirected: [
        nginxProxy,
        of('Starling, redirected to one holder', node('redirecting'), one, [holder], nginxProxy.what),
      ],
    },
    [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
  }
}

async function mapped(node: ClusterNode, sizeBytes: number): Promise<void> {
  await eventually(
    async () => ((await node.metric('starling_integrity_hashed_bytes_total')) ?? 0) >= sizeBytes,
    { what: `the chunk map of ${node.name}`, timeoutMs: 120_000, intervalMs: 100 },
  )
}
