import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import { after, before, test } from 'node:test'
import type { Worker } from 'node:worker_threads'
import { createRegistryHost } from '../../../lib/app/registry/host.ts'
import type { CredentialSet } from '../../../lib/core/credentials.ts'
import { StarlingError } from '../../../lib/core/errors.ts'
import { blobPath, candidateOf, digestOf, fetchFrom } from '../../registry/harness.ts'
import { misbehaviours, startHostilePeer } from '../../registry/hostile-peer.ts'
import { startWorkerNode, type WorkerNode } from '../../registry/worker-node.ts'
import { eventually } from '../../support/eventually.ts'
import { makeTestCluster } from '../../support/test-trust.ts'

let cluster: Map<string, CredentialSet>
const node = (name: string): CredentialSet => cluster.get(name) as CredentialSet
const bytes = randomBytes(2_000_000)
let plain: WorkerNode
const started: Worker[] = []
process.on('worker', (worker) => started.push(worker))

before(async () => {
  cluster = await makeTestCluster({ nodes: [{ name: 'one' }, { name: 'two' }, { name: 'hostile' }] })
  plain = await startWorkerNode(node('one'), '127.0.11.31', { workers: 2 })
  await plain.put(bytes)
})

after(() => plain?.[Symbol.asyncDispose]())

test('workers share one port and serve the same content', async () => {
  const path = blobPath(digestOf(bytes))
  const answers = await Promise.all(
    Array.from({ length: 12 }, () => fetchFrom(plain.endpoint, node('two'), path)),
  )
  for (const answer of answers) assert.ok(answer.body.equals(bytes))
})

test('a port that is taken is an error that names it, even where the other one would share it', async () => {
  const taken = createServer()
  await new Promise<void>((resolve) =>
    taken.listen({ host: '127.0.11.32', port: 0, reusePort: true }, resolve),
  )
  const { port } = taken.address() as { port: number }
  const listen = [{ host: '127.0.11.32', port }]
  await assert.rejects(startWorkerNode(node('one'), '127.0.11.32', { listen }), (error: StarlingError) => {
    assert.equal(error.code, 'PORT_IN_USE')
    assert.match(
      error.format(),
      new RegExp(`port ${port} of 127.0.11.32:${port} is already taken; stop what`),
    )
    return true
  })
  await new Promise((resolve) => taken.close(resolve))
})

test('port 6443 is said to be the one of a Kubernetes API server too', async () => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen({ host: '127.0.11.33', port: 6443 }, resolve))
  const listen = [{ host: '127.0.11.33', port: 6443 }]
  await assert.rejects(
    startWorkerNode(node('one'), '127.0.11.33', { listen }),
    /Kubernetes API server also uses 6443/,
  )
  await new Promise((resolve) => taken.close(resolve))
})

test('an address that the machine does not have is an error that names it', async () => {
  const listen = [{ host: '203.0.113.7', port: 21_500 }]
  await assert.rejects(
    startWorkerNode(node('one'), '127.0.11.33', { listen }),
    /203\.0\.113\.7:21500.*not an address/,
  )
})

test('new credentials reach the workers', async () => {
  await using changing = await startWorkerNode(node('one'), '127.0.11.34')
  const other = (await makeTestCluster({ nodes: [{ name: 'one' }] })).get('one') as CredentialSet
  assert.equal((await fetchFrom(changing.endpoint, node('two'), '/v2/')).status, 200)
  changing.setCredentials(other)
  await eventually(async () => (await fetchFrom(changing.endpoint, other, '/v2/')).status === 200)
  await assert.rejects(fetchFrom(changing.endpoint, node('two'), '/v2/'))
})

test('the memory of each worker is told', async () => {
  await using told = await startWorkerNode(node('one'), '127.0.11.38')
  for (const kind of ['heap', 'external']) {
    const name = `starling_registry_worker_${kind}_bytes 0`
    await eventually(() => (told.metrics.gauges.get(name) ?? 0) > 100_000)
  }
})

test('a worker that crashes is replaced, with a log line and a metric', async () => {
  await using crashing = await startWorkerNode(node('one'), '127.0.11.35')
  const ask = () => fetchFrom(crashing.endpoint, node('two'), '/v2/')
  assert.equal((await ask()).status, 200)
  await started.at(-1)?.terminate()
  await eventually(() => crashing.metrics.counts.get('starling_registry_workers_replaced_total') === 1)
  assert.ok(crashing.errors.some((line) => line.includes('it is replaced')))
  await eventually(async () => (await ask()).status === 200)
})

test('a transfer in flight may end within the grace period, and nothing new is accepted', async () => {
  const body = randomBytes(5_000_000)
  await using slow = await startHostilePeer(node('hostile'), '127.0.11.36', body, ({ response, head }) => {
    head()
    response.write(body.subarray(0, 4_900_000))
    setTimeout(() => response.end(body.subarray(4_900_000)), 300)
  })
  await using stopping = await startWorkerNode(node('one'), '127.0.11.37', { graceMs: 3000 })
  stopping.control.candidates = [candidateOf(node('hostile'), slow.endpoint)]
  const pull = fetchFrom(stopping.endpoint, node('two'), blobPath(digestOf(body)))
  await eventually(() => slow.seen.requests === 1)
  const stopped = stopping.host.stop()
  await eventually(async () =>
    fetchFrom(stopping.endpoint, node('two'), '/v2/').then(
      () => false,
      () => true,
    ),
  )
  assert.ok((await pull).body.equals(body))
  await stopped
})

test('after the grace period a transfer ends early by FIN', async () => {
  const body = randomBytes(5_000_000)
  await using stuck = await startHostilePeer(
    node('hostile'),
    '127.0.11.38',
    body,
    misbehaviours['stalls in the middle'],
  )
  await using stopping = await startWorkerNode(node('one'), '127.0.11.39', {
    graceMs: 200,
    limits: { stallTimeoutMs: 60_000 },
  })
  stopping.control.candidates = [candidateOf(node('hostile'), stuck.endpoint)]
  const pull = fetchFrom(stopping.endpoint, node('two'), blobPath(digestOf(body)))
  await eventually(() => stuck.seen.requests === 1)
  const startedMs = performance.now()
  await stopping.host.stop()
  assert.ok(performance.now() - startedMs < 3000)
  const answer = await pull
  assert.ok(answer.end === 'early' || answer.status === 503)
  await eventually(() => stopping.control.running === 0)
})

test('a host without an address does not start', async () => {
  const host = createRegistryHost({
    listen: [],
    workers: 1,
    credentials: { current: () => node('one'), subscribe: () => () => {} },
    source: { kind: 'oci-layout', path: '/nonexistent' },
    control: plain.control,
    graceMs: 0,
    log: { debug() {}, info() {}, warn() {}, error() {}, child: () => ({}) as never },
    metrics: plain.metrics,
  })
  await assert.rejects(host.start(), StarlingError)
  await host.stop()
})
