import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { checkServerIdentity } from 'node:tls'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import type { Candidate } from '../../lib/core/lookup.ts'
import { defaultRegistryLimits, type RegistryLimits } from '../../lib/registry/messages.ts'
import { eventually } from '../support/eventually.ts'
import { makeTestCluster } from '../support/test-trust.ts'
import {
  blobPath,
  type ClientAnswer,
  candidateOf,
  fetchFrom,
  manifestBytes,
  manifestPath,
} from './harness.ts'
import { misbehaviours, startHostilePeer } from './hostile-peer.ts'
import { startWorkerNode, type WorkerNode } from './worker-node.ts'

const containerd = { 'user-agent': 'containerd/2.3.4' }
const asking = '127.0.11.101'
const holding = '127.0.11.102'
const foreign = '127.0.11.103'
const dyingAt = '127.0.11.104'
let cluster: Map<string, CredentialSet>
let requester: WorkerNode
let holder: WorkerNode
const node = (name: string): CredentialSet => cluster.get(name) as CredentialSet

function mode(value: 'redirect' | 'auto'): Partial<RegistryLimits> {
  return { transfer: { ...defaultRegistryLimits.transfer, mode: value } }
}

before(async () => {
  cluster = await makeTestCluster({
    nodes: [
      { name: 'asking', addresses: [asking] },
      { name: 'holding', addresses: [holding] },
      { name: 'foreign', addresses: ['192.0.2.1'] },
      { name: 'dying', addresses: [dyingAt] },
    ],
  })
  requester = await startWorkerNode(node('asking'), asking, { limits: mode('redirect') })
  holder = await startWorkerNode(node('holding'), holding)
})

after(async () => {
  await requester?.[Symbol.asyncDispose]()
  await holder?.[Symbol.asyncDispose]()
})

function holderHeard(agoMs = 100): Candidate {
  return { ...candidateOf(node('holding'), holder.endpoint), heardAgoMs: agoMs }
}

const ask = (path: string, headers: Record<string, string> = {}): Promise<ClientAnswer> =>
  fetchFrom(requester.endpoint, node('asking'), path, { headers: { ...containerd, ...headers } })

/** After one transfer the requester has seen the certificate of its holder. */
async function meet(): Promise<void> {
  const bytes = randomBytes(100_000)
  const path = blobPath(await holder.put(bytes))
  requester.control.candidates = [holderHeard()]
  const answer = await fetchFrom(requester.endpoint, node('asking'), path)
  assert.ok(answer.body.equals(bytes), 'another client than containerd gets the bytes themselves')
}

test('containerd is sent to a holder, which serves the blob with a certificate that is valid for the address', async () => {
  await meet()
  const bytes = randomBytes(3_000_000)
  const path = blobPath(await holder.put(bytes))
  const sent = await ask(path)
  assert.equal(sent.status, 307)
  const location = new URL(sent.headers.location ?? '')
  assert.equal(location.host, `${holding}:${holder.endpoint.port}`)
  assert.equal(location.searchParams.get('hop'), '1')
  assert.equal(location.searchParams.get('ns'), new URL(path, 'https://x').searchParams.get('ns'))
  // With the check of the name that any client makes: the address must stand in the certificate.
  const answer = await fetchFrom(holder.endpoint, node('asking'), location.pathname + location.search, {
    headers: containerd,
    checkServerIdentity,
  })
  assert.ok(answer.body.equals(bytes))
  await eventually(() =>
    requester.control.requests.some(({ source, status }) => source === 'redirect' && status === 307),
  )
  assert.ok(holder.control.requests.some(({ fromPeer, status }) => fromPeer && status === 200))
})

test('a client that comes back with a range after a redirect broke is served through the node', async () => {
  await meet()
  const bytes = randomBytes(1_000_000)
  const path = blobPath(await holder.put(bytes))
  assert.equal((await ask(path)).status, 307)
  const rest = await ask(path, { range: 'bytes=400000-' })
  assert.equal(rest.status, 206)
  assert.ok(rest.body.equals(bytes.subarray(400_000)))
})

test('a client as containerd 2 is goes on at the node where the holder breaks to which it was sent, and gets the right bytes', async () => {
  const bytes = randomBytes(3_000_000)
  const path = blobPath(await holder.put(bytes))
  let dies = false
  await using dying = await startHostilePeer(node('dying'), dyingAt, bytes, (answer) => {
    if (dies) misbehaviours['dies in the middle'](answer)
    else {
      answer.head()
      answer.response.end(answer.body.subarray(answer.start))
    }
  })
  requester.control.candidates = [
    { ...candidateOf(node('dying'), dying.endpoint), heardAgoMs: 100 },
    { ...candidateOf(node('holding'), holder.endpoint), heardAgoMs: 100 },
  ]
  // By a range the node meets the holder itself.
  assert.equal((await ask(path, { range: 'bytes=0-9' })).status, 206)
  dies = true
  const got: Buffer[] = []
  const reached = (): number => got.reduce((sum, part) => sum + part.length, 0)
  let redirects = 0
  for (let asked = 0; reached() < bytes.length; asked++) {
    assert.ok(asked < 4, 'containerd gives up after four answers that bring nothing')
    const range = reached() === 0 ? {} : { range: `bytes=${reached()}-` }
    let answer = await ask(path, { ...range, 'accept-encoding': 'zstd, gzip, deflate' })
    if (answer.status === 307) {
      redirects++
      const to = new URL(answer.headers.location ?? '')
      const endpoint = { host: to.hostname, port: Number(to.port) }
      answer = await fetchFrom(endpoint, node('asking'), to.pathname + to.search, {
        headers: { ...containerd, ...range },
        checkServerIdentity,
      })
    }
    got.push(answer.body)
  }
  assert.equal(redirects, 1)
  assert.ok((got[0]?.length ?? 0) < bytes.length, 'it broke in the middle')
  assert.ok(Buffer.concat(got).equals(bytes))
})

test('a holder that was silent, and one that was never met, are asked first; nobody is sent to one that does not answer', async () => {
  await meet()
  const bytes = randomBytes(1_000_000)
  const path = blobPath(await holder.put(bytes))
  requester.control.candidates = [holderHeard(2500)]
  assert.equal((await ask(path)).status, 307)
  await using stranger = await startWorkerNode(node('asking'), asking, { limits: mode('redirect') })
  stranger.control.candidates = [candidateOf(node('holding'), holder.endpoint)]
  const first = await fetchFrom(stranger.endpoint, node('asking'), path, { headers: containerd })
  assert.equal(first.status, 307)
  const nobody = candidateOf(node('foreign'), { host: foreign, port: 1 })
  requester.control.candidates = [{ ...nobody, heardAgoMs: 2500 }]
  assert.equal((await ask(path)).status, 404)
  requester.control.candidates = [nobody, holderHeard(2500)]
  assert.ok((await ask(path)).body.equals(bytes))
})

test('nobody is sent to an address that the certificate of the holder does not name', async () => {
  await using other = await startWorkerNode(node('foreign'), foreign)
  const bytes = randomBytes(1_000_000)
  const path = blobPath(await other.put(bytes))
  requester.control.candidates = [{ ...candidateOf(node('foreign'), other.endpoint), heardAgoMs: 0 }]
  for (let round = 0; round < 2; round++) {
    const answer = await ask(path)
    assert.equal(answer.status, 200)
    assert.ok(answer.body.equals(bytes))
  }
})

test('manifests, HEAD and requests of peers are never redirected', async () => {
  await meet()
  const path = blobPath(await holder.put(randomBytes(1_000_000)))
  assert.equal((await ask(path, {})).status, 307)
  const head = await fetchFrom(requester.endpoint, node('asking'), path, {
    method: 'HEAD',
    headers: containerd,
  })
  assert.equal(head.status, 200)
  assert.equal((await ask(`${path}&hop=1`)).status, 404)
})

test('auto passes on what is small, or of unknown size', async () => {
  await using auto = await startWorkerNode(node('asking'), asking, { limits: mode('auto') })
  const bytes = randomBytes(1_000_000)
  const path = blobPath(await holder.put(bytes))
  auto.control.candidates = [holderHeard()]
  for (let round = 0; round < 2; round++) {
    const answer = await fetchFrom(auto.endpoint, node('asking'), path, { headers: containerd })
    assert.equal(answer.status, 200)
  }
})

test('auto redirects what a manifest says is large', async () => {
  await using auto = await startWorkerNode(node('asking'), asking, { limits: mode('auto') })
  const bytes = randomBytes(17 * 2 ** 20)
  const layer = await holder.put(bytes)
  const manifest = await holder.put(manifestBytes(layer, [layer], bytes.length))
  auto.control.candidates = [holderHeard()]
  const pulled = await fetchFrom(auto.endpoint, node('asking'), manifestPath(manifest), {
    headers: containerd,
  })
  assert.equal(pulled.status, 200)
  const sent = await fetchFrom(auto.endpoint, node('asking'), blobPath(layer), { headers: containerd })
  assert.equal(sent.status, 307)
})

test('the mode can be changed while the node runs', async () => {
  await meet()
  const path = blobPath(await holder.put(randomBytes(1_000_000)))
  assert.equal((await ask(path)).status, 307)
  const { stallTimeoutMs, transfer } = defaultRegistryLimits
  requester.host.tune({ stallTimeoutMs, transfer: { ...transfer, mode: 'proxy' } })
  await eventually(async () => (await ask(path)).status === 200)
})
