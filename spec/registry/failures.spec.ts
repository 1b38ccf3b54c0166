import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { request } from 'node:https'
import { after, before, test } from 'node:test'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import type { Candidate, TransferReport } from '../../lib/core/lookup.ts'
import { heldTailSizeBytes } from '../../lib/registry/body-check.ts'
import { eventually } from '../support/eventually.ts'
import { makeTestCluster } from '../support/test-trust.ts'
import {
  blobPath,
  type ClientAnswer,
  candidateOf,
  clientTls,
  fetchFrom,
  startPlane,
  type TestPlane,
} from './harness.ts'
import { type MisbehaviourName, misbehaviours, startHostilePeer } from './hostile-peer.ts'

const limits = { stallTimeoutMs: 600, connectTimeoutMs: 600, firstByteTimeoutMs: 600 }
const small = randomBytes(1_000_000)
const large = randomBytes(6_000_000)

let cluster: Map<string, CredentialSet>
let honest: TestPlane
const node = (name: string): CredentialSet => cluster.get(name) as CredentialSet

before(async () => {
  cluster = await makeTestCluster({ nodes: ['asking', 'honest', 'hostile'].map((name) => ({ name })) })
  honest = await startPlane(node('honest'), { host: '127.0.11.2' })
  honest.control.local.put(small)
  honest.control.local.put(large)
})

after(async () => {
  await honest?.[Symbol.asyncDispose]()
})

interface Outcome {
  readonly answer: ClientAnswer
  readonly transfers: readonly TransferReport[]
  readonly hostileRequests: number
}

async function pull(body: Buffer, name: MisbehaviourName, second: boolean, range?: string): Promise<Outcome> {
  await using hostile = await startHostilePeer(node('hostile'), '127.0.11.3', body, misbehaviours[name])
  const candidates: Candidate[] = [candidateOf(node('hostile'), hostile.endpoint)]
  if (second) candidates.push(candidateOf(node('honest'), honest.endpoint))
  await using asking = await startPlane(node('asking'), { limits })
  asking.control.candidates = candidates
  const [digest] = [...honest.control.local.blobs].find(([, bytes]) => bytes === body) ?? []
  const answer = await fetchFrom(asking.endpoint, node('asking'), blobPath(digest as never), {
    headers: range === undefined ? {} : { range },
  })
  await eventually(() => asking.control.requests.length === 1 && asking.control.running === 0)
  return { answer, transfers: asking.control.transfers, hostileRequests: hostile.seen.requests }
}

type Fate = 'whole' | 'early' | 404

/** What the client gets of a small blob, which is checked before its first byte leaves, and of a large one, which streams. */
const rows: Record<
  MisbehaviourName,
  {
    alone: [Fate, Fate]
    second: [Fate, Fate]
    outcome: TransferReport['outcome']
    secondOutcome?: TransferReport['outcome']
    /** It gave a part: where there is nobody else it is asked once more for the rest of a body that the client has begun. */
    interrupted?: true
  }
> = {
  'answers 500': { alone: [404, 404], second: ['whole', 'whole'], outcome: 'refused' },
  'answers 429': { alone: [404, 404], second: ['whole', 'whole'], outcome: 'refused' },
  'hangs before the head of its answer': {
    alone: [404, 404],
    second: ['whole', 'whole'],
    outcome: 'stalled',
  },
  'sends only a head': { alone: [404, 404], second: ['whole', 'whole'], outcome: 'stalled' },
  'closes without an answer': { alone: [404, 404], second: ['whole', 'whole'], outcome: 'broken' },
  'names another length': {
    alone: [404, 'early'],
    second: ['whole', 'whole'],
    outcome: 'wrong-bytes',
    // The answer to a range names the range, too.
    secondOutcome: 'refused',
  },
  'names another digest': { alone: [404, 404], second: ['whole', 'whole'], outcome: 'refused' },
  'names no digest': { alone: [404, 404], second: ['whole', 'whole'], outcome: 'refused' },
  'encodes the content': { alone: [404, 404], second: ['whole', 'whole'], outcome: 'refused' },
  'dies in the middle': {
    alone: [404, 'early'],
    second: ['whole', 'whole'],
    outcome: 'broken',
    interrupted: true,
  },
  'ends short by FIN': {
    alone: [404, 'early'],
    second: ['whole', 'whole'],
    outcome: 'broken',
    interrupted: true,
  },
  'stalls in the middle': {
    alone: [404, 'early'],
    second: ['whole', 'whole'],
    outcome: 'stalled',
    interrupted: true,
  },
  'sends a wrong byte early': { alone: [404, 'early'], second: ['whole', 'early'], outcome: 'wrong-bytes' },
  'sends a wrong last byte': { alone: [404, 'early'], second: ['whole', 'early'], outcome: 'wrong-bytes' },
}

function judge(answer: ClientAnswer, body: Buffer, fate: Fate): void {
  if (fate === 404) {
    assert.equal(answer.status, 404)
    assert.match(answer.body.toString(), /BLOB_UNKNOWN.*hostile \(/)
    return
  }
  assert.equal(answer.status, 200)
  assert.equal(answer.end, fate === 'whole' ? 'complete' : 'early')
  if (fate === 'whole') assert.ok(answer.body.equals(body))
  else assert.ok(answer.body.length < body.length, 'a body that cannot be right must be short')
}

for (const [name, row] of Object.entries(rows) as [MisbehaviourName, (typeof rows)[MisbehaviourName]][]) {
  for (const second of [false, true]) {
    const fates = second ? row.second : row.alone
    test(`a holder that ${name}, ${second ? 'with' : 'without'} a second one: small ${fates[0]}, large ${fates[1]}`, async () => {
      for (const [index, body] of [small, large].entries()) {
        const { answer, transfers, hostileRequests } = await pull(body, name, second)
        judge(answer, body, fates[index] as Fate)
        const blamed = transfers.filter(({ peerId }) => peerId === node('hostile').peerId)
        const times = row.interrupted && !second && body === large ? 2 : 1
        assert.equal(blamed.length, times, 'how often it is asked')
        assert.equal(blamed[0]?.outcome, (second ? row.secondOutcome : undefined) ?? row.outcome)
        assert.ok(hostileRequests <= times)
      }
    })
  }
}

test('of a large blob that turns out wrong the last piece is held back', async () => {
  const { answer } = await pull(large, 'sends a wrong last byte', false)
  assert.equal(answer.body.length, large.length - heldTailSizeBytes)
})

test('a range goes on at the next holder as a whole blob does', async () => {
  const { answer } = await pull(large, 'dies in the middle', true, 'bytes=1000000-')
  assert.equal(answer.status, 206)
  assert.equal(answer.headers['content-range'], 'bytes 1000000-5999999/6000000')
  assert.ok(answer.body.equals(large.subarray(1_000_000)))
})

test('a range that was cut off ends early, and the request for the rest gets 404', async () => {
  await using asking = await startPlane(node('asking'), { limits })
  const digest = honest.control.local.put(large)
  await using hostile = await startHostilePeer(node('hostile'), '127.0.11.3', large, (answer) => {
    if (hostile.seen.requests === 1) misbehaviours['dies in the middle'](answer)
    else misbehaviours['closes without an answer'](answer)
  })
  asking.control.candidates = [candidateOf(node('hostile'), hostile.endpoint)]
  const first = await fetchFrom(asking.endpoint, node('asking'), blobPath(digest))
  assert.equal(first.end, 'early')
  assert.ok(first.body.length > 0 && first.body.equals(large.subarray(0, first.body.length)))
  const next = await fetchFrom(asking.endpoint, node('asking'), blobPath(digest), {
    headers: { range: `bytes=${first.body.length}-` },
  })
  assert.equal(next.status, 404)
})

test('a holder that is slow but never silent is waited for', async () => {
  await using slow = await startHostilePeer(
    node('hostile'),
    '127.0.11.3',
    small,
    ({ response, head, body }) => {
      head()
      let offset = 0
      const timer = setInterval(() => {
        response.write(body.subarray(offset, offset + 100_000))
        offset += 100_000
        if (offset >= body.length) {
          clearInterval(timer)
          response.end()
        }
      }, 40)
    },
  )
  await using asking = await startPlane(node('asking'), { limits })
  asking.control.candidates = [candidateOf(node('hostile'), slow.endpoint)]
  const answer = await fetchFrom(asking.endpoint, node('asking'), blobPath(honest.control.local.put(small)))
  assert.ok(answer.body.equals(small))
})

test('a holder where nobody listens is passed over at once, also by a second address of it', async () => {
  await using asking = await startPlane(node('asking'), { limits })
  const dead = candidateOf(node('hostile'), { host: '127.0.11.9', port: 21_999 })
  asking.control.candidates = [dead, candidateOf(node('honest'), honest.endpoint)]
  const path = blobPath(honest.control.local.put(small))
  const startedMs = performance.now()
  assert.ok((await fetchFrom(asking.endpoint, node('asking'), path)).body.equals(small))
  assert.ok(performance.now() - startedMs < 500, 'a refused connection costs no timeout')
  assert.equal(asking.control.transfers[0]?.outcome, 'unreachable')
  const { peer } = candidateOf(node('honest'), honest.endpoint)
  asking.control.candidates = [
    { peer: { ...peer, addresses: ['127.0.11.9', ...peer.addresses] }, reach: 'complete' },
  ]
  assert.ok((await fetchFrom(asking.endpoint, node('asking'), path)).body.equals(small))
})

test('a holder with another name or another key than its record says is refused', async () => {
  await using asking = await startPlane(node('asking'), { limits })
  const { peer } = candidateOf(node('honest'), honest.endpoint)
  const path = blobPath(honest.control.local.put(small))
  for (const wrong of [{ name: 'somebody' }, { certificateKeyHash: '0'.repeat(64) }]) {
    asking.control.candidates = [{ peer: { ...peer, ...wrong }, reach: 'complete' }]
    const answer = await fetchFrom(asking.endpoint, node('asking'), path)
    assert.equal(answer.status, 404)
    assert.equal(asking.control.transfers.at(-1)?.outcome, 'refused')
  }
})

test('connections to a holder are kept and used again', async () => {
  const ports = new Set<number | undefined>()
  await using counting = await startHostilePeer(
    node('hostile'),
    '127.0.11.3',
    small,
    ({ request, response, head, body }) => {
      ports.add(request.socket.remotePort)
      head()
      response.end(body)
    },
  )
  await using asking = await startPlane(node('asking'), { limits })
  asking.control.candidates = [candidateOf(node('hostile'), counting.endpoint)]
  const path = blobPath(honest.control.local.put(small))
  for (let round = 0; round < 5; round++) {
    assert.equal((await fetchFrom(asking.endpoint, node('asking'), path)).status, 200)
  }
  assert.equal(counting.seen.requests, 5)
  assert.equal(ports.size, 1)
})

test('a kept connection that the holder has closed meanwhile costs no candidate', async () => {
  await using asking = await startPlane(node('asking'), { limits })
  await using closing = await startHostilePeer(
    node('hostile'),
    '127.0.11.3',
    small,
    ({ request, response, head, body }) => {
      const { socket } = request
      if (closing.seen.requests === 2) {
        socket.destroy()
        return
      }
      head()
      response.end(body)
    },
  )
  asking.control.candidates = [candidateOf(node('hostile'), closing.endpoint)]
  const path = blobPath(honest.control.local.put(small))
  for (let round = 0; round < 2; round++) {
    const answer = await fetchFrom(asking.endpoint, node('asking'), path)
    assert.equal(answer.status, 200, answer.body.toString().slice(0, 300))
  }
  assert.equal(closing.seen.requests, 3)
})

test('a session of a peer that was refused is not resumed', async () => {
  await using asking = await startPlane(node('asking'), { limits })
  const { peer } = candidateOf(node('honest'), honest.endpoint)
  asking.control.candidates = [{ peer: { ...peer, name: 'somebody' }, reach: 'complete' }]
  const path = blobPath(honest.control.local.put(small))
  for (let round = 0; round < 3; round++) {
    assert.equal((await fetchFrom(asking.endpoint, node('asking'), path)).status, 404)
  }
})

test('a client that goes away frees the holder at once', async () => {
  await using endless = await startHostilePeer(
    node('hostile'),
    '127.0.11.3',
    large,
    ({ response, head, body }) => {
      head()
      response.write(body.subarray(0, 3_000_000))
      const timer = setInterval(() => response.write(body.subarray(0, 1000)), 50)
      response.once('close', () => clearInterval(timer))
    },
  )
  await using asking = await startPlane(node('asking'), { limits })
  asking.control.candidates = [candidateOf(node('hostile'), endless.endpoint)]
  const { host, port } = asking.endpoint
  const path = blobPath(honest.control.local.put(large))
  const client = request({ ...clientTls(node('asking')), agent: false, host, port, path })
  client.on('error', () => {})
  client.on('response', (message) => message.once('data', () => client.destroy()))
  client.end()
  await eventually(() => endless.seen.requests === 1 && endless.seen.open === 0, { timeoutMs: 2000 })
  await eventually(() => asking.control.transfers[0]?.outcome === 'cancelled')
  assert.equal(asking.control.requests[0]?.incomplete, true)
})

test('after 500 requests of mixed fates no socket, timer or handle is left over', async () => {
  // Each comes over a connection of its own, from one address.
  const asking = await startPlane(node('asking'), { limits: { ...limits, maxPerHostPerSecond: 1000 } })
  const local = asking.control.local.put(randomBytes(200_000))
  const path = blobPath(honest.control.local.put(large))
  const names: MisbehaviourName[] = [
    'answers 500',
    'dies in the middle',
    'sends a wrong last byte',
    'closes without an answer',
  ]
  let turn = 0
  const hostile = await startHostilePeer(node('hostile'), '127.0.11.3', large, (answer) =>
    misbehaviours[names[turn++ % names.length] as MisbehaviourName](answer),
  )
  const busy = () => process.getActiveResourcesInfo()
  const fates = new Map<string, number>()
  async function one(index: number): Promise<void> {
    const kind = index % 5
    asking.control.candidates =
      kind === 0
        ? []
        : [candidateOf(node('hostile'), hostile.endpoint), candidateOf(node('honest'), honest.endpoint)]
    const target = kind <= 2 ? blobPath(local) : kind === 3 ? `${path}&x=${index}` : '/v2/nobody/manifests/1'
    const headers = kind === 2 ? { range: 'bytes=999999999-' } : {}
    const answer = await fetchFrom(asking.endpoint, node('asking'), target, { headers })
    const fate = `${answer.status} ${answer.end}`
    fates.set(fate, (fates.get(fate) ?? 0) + 1)
  }
  const started = busy()
  for (let round = 0; round < 50; round++)
    await Promise.all(Array.from({ length: 10 }, (_, k) => one(round * 10 + k)))
  assert.ok((fates.get('200 complete') ?? 0) > 200, JSON.stringify([...fates]))
  assert.ok((fates.get('200 early') ?? 0) > 0)
  assert.ok((fates.get('404 complete') ?? 0) > 50)
  assert.ok((fates.get('416 complete') ?? 0) > 50)
  await eventually(() => asking.control.requests.length === 500 && asking.control.running === 0)
  // Files stay open for a moment for whoever asks next.
  await eventually(() => asking.control.local.openHandles === 0, { what: 'all files to be closed' })
  await hostile[Symbol.asyncDispose]()
  await asking[Symbol.asyncDispose]()
  await eventually(() => busy().length <= started.length, { timeoutMs: 5000, what: 'the end of all sockets' })
})
