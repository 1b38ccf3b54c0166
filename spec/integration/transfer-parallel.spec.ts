import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { after, before, describe, it } from 'node:test'
import { defaultStripes } from '../../lib/selection/stripe-layout.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import type { ClientTls } from '../support/cluster/registry-client.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { giveBlob, type SharedBlob } from './transfer/shared-blob.ts'

const sizeBytes = 128 * 2 ** 20
/** What containerd from 2.1 on takes of each of its open-ended ranges before it drops the connection. */
const takenBytes = 4 * 2 ** 20
const atOnce = 4

/** The bytes from `start` on as such a containerd takes them. */
function takeChunk(url: URL, tls: ClientTls, start: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { ...tls, agent: false, headers: { range: `bytes=${start}-` } })
    outgoing.on('error', reject)
    outgoing.once('response', (response: IncomingMessage) => {
      const chunks: Buffer[] = []
      const wanted = Math.min(takenBytes, sizeBytes - start)
      let bytes = 0
      if (response.statusCode !== 206) reject(new Error(`${response.statusCode}`))
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        bytes += chunk.length
        if (bytes < wanted) return
        resolve(Buffer.concat(chunks).subarray(0, wanted))
        outgoing.destroy()
      })
      response.on('error', reject)
    })
    outgoing.end()
  })
}

describe('a client that fetches a blob by parallel open-ended ranges', () => {
  let cluster: Cluster
  let blob: SharedBlob

  before(async () => {
    cluster = await createCluster({ nodes: 3 })
    blob = await giveBlob(cluster.nodes.slice(0, 2), [cluster.node(2)], sizeBytes)
  })
  after(() => cluster?.[Symbol.asyncDispose]())

  const sum = async (nodes: readonly ClusterNode[], metric: string) =>
    (await Promise.all(nodes.map((node) => node.metric(metric)))).reduce<number>(
      (total, value) => total + (value ?? 0),
      0,
    )
  const given = () => sum(cluster.nodes.slice(0, 2), 'starling_request_bytes_total')
  const received = () => sum([cluster.node(2)], 'starling_transfer_bytes_total')
  /** Ranges that were asked for twice, because the machine was so busy that they were late: each at most a stripe. */
  const hedges = async () => (await cluster.node(2).metric('starling_hedges_total', 'outcome="sent"')) ?? 0
  const inFlight = () => sum(cluster.nodes, 'starling_registry_requests_in_flight')

  it('gets the right bytes, and less than a tenth of what its node receives is thrown away', async () => {
    const requester = cluster.node(2)
    const url = new URL(blob.path, requester.registryUrl)
    const tls = await requester.clientTls()
    const before = { given: await given(), received: await received(), hedges: await hedges() }
    const starts = Array.from({ length: sizeBytes / takenBytes }, (_, index) => index * takenBytes)
    const chunks = new Map<number, Buffer>()
    const fetcher = async () => {
      for (let start = starts.shift(); start !== undefined; start = starts.shift()) {
        chunks.set(start, await takeChunk(url, tls, start))
      }
    }
    await Promise.all(Array.from({ length: atOnce }, fetcher))
    const hash = createHash('sha256')
    for (let start = 0; start < sizeBytes; start += takenBytes) hash.update(chunks.get(start) ?? '')
    assert.equal(`sha256:${hash.digest('hex')}`, blob.digest)
    await eventually(async () => (await inFlight()) === 0, { what: 'the end of all requests' })
    const surplus = { given: (await given()) - before.given, received: (await received()) - before.received }
    const twice = ((await hedges()) - before.hedges) * defaultStripes.stripeBytes
    for (const [what, bytes] of Object.entries(surplus)) {
      assert.ok(bytes >= sizeBytes, `${what}: ${bytes}`)
      // What holders give is counted where they write it: up to some MiB of it wait in the kernel of a connection that is dropped.
      const most = what === 'given' ? 1.2 : 1.1
      assert.ok(
        bytes - twice < most * sizeBytes,
        `${what}: ${(bytes / sizeBytes).toFixed(3)} times what was wanted`,
      )
    }
  })
})
