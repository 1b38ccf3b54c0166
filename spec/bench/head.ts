import { createHash } from 'node:crypto'
import { Agent, request } from 'node:https'
import { join } from 'node:path'
import type { ClientTls } from '../support/cluster/registry-client.ts'
import type { Benchmark } from './benchmark.ts'
import { benchCluster, registry, shareBlob } from './support/bench-cluster.ts'
import { hasNginx, startNginx } from './support/nginx.ts'
import { spread } from './support/statistics.ts'

const intervalMs = 10

function headOnce(url: URL, agent: Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method: 'HEAD', agent, timeout: 10_000 })
    outgoing.once('timeout', () => outgoing.destroy(new Error(`no answer from ${url.host}`)))
    outgoing.once('error', reject)
    outgoing.once('response', (response) => {
      response.resume()
      response.once('end', () => resolve(response.statusCode ?? 0))
    })
    outgoing.end()
  })
}

/** Milliseconds of each answer: requests go out every 10 ms on one kept connection, whether the last was answered or not. */
async function timeHeads(url: string, tls: ClientTls, status: number, count: number): Promise<number[]> {
  const agent = new Agent({ ...tls, keepAlive: true, maxSockets: 1 })
  const target = new URL(url)
  const ask = async () => {
    const startedMs = performance.now()
    const found = await headOnce(target, agent)
    if (found !== status) throw new Error(`${url} was answered with ${found}, not ${status}`)
    return performance.now() - startedMs
  }
  try {
    for (let turn = 0; turn < 50; turn += 1) await ask()
    const { promise, resolve } = Promise.withResolvers<void>()
    const asked: Promise<number>[] = []
    const timer = setInterval(() => {
      asked.push(ask())
      if (asked.length === count) resolve()
    }, intervalMs)
    await promise
    clearInterval(timer)
    return await Promise.all(asked)
  } finally {
    agent.destroy()
  }
}

/** How long containerd waits to hear that a mirror has a blob, or has not. */
export const head: Benchmark = {
  name: 'head',
  title: 'Data plane: HEAD of a digest, 100 requests a second',
  async run(log, { quick }) {
    const count = quick ? 200 : 2000
    await using cluster = await benchCluster(2)
    const [holder, requester] = [cluster.node(0), cluster.node(1)]
    const blob = await shareBlob(holder, [requester], 2 ** 20)
    const tls = await holder.clientTls()
    const nobody = `/v2/bench/blob/blobs/sha256:${createHash('sha256').update('nobody').digest('hex')}?ns=${registry}`
    const cases: [what: string, url: string, status: number][] = [
      ['Starling: blob of this node', `${holder.registryUrl}${blob.path}`, 200],
      ['Starling: blob of another node', `${requester.registryUrl}${blob.path}`, 200],
      ['Starling: a miss', `${requester.registryUrl}${nobody}`, 404],
    ]
    await using servers = new AsyncDisposableStack()
    if (hasNginx()) {
      const folder = join(holder.dir, 'oci', 'blobs', 'sha256')
      servers.use(
        await startNginx({
          dir: join(cluster.dir, 'nginx'),
          address: holder.address,
          tlsPort: 8443,
          trustDir: holder.trustDir,
          from: { folder },
        }),
      )
      const base = `https://${holder.address}:8443`
      cases.push(
        ['nginx: a file', `${base}/${blob.digest.replace('sha256:', '')}`, 200],
        ['nginx: no such file', `${base}/nobody`, 404],
      )
    }
    const rows: (string | number)[][] = []
    for (const [what, url, status] of cases) {
      rows.push([what, ...spread(await timeHeads(url, tls, status, count), 2)])
      log(what)
    }
    return {
      columns: ['what', 'median ms', 'p99 ms', 'longest ms'],
      rows,
      notes: [
        `${count} requests each after 50 to warm up, one connection, one every ${intervalMs} ms, mutual TLS; time at the client, which is Node.js and the same for all.`,
        'Before a node has pulled a blob itself it asks a holder for the size at each HEAD: two hops over TLS instead of one.',
      ],
    }
  },
}
