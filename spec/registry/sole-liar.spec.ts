import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { QuarantineList } from '../../lib/app/quarantine/list.ts'
import { createRegistryControl } from '../../lib/app/registry/control.ts'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import type { RegistryControl, TransferReport } from '../../lib/core/lookup.ts'
import { OfferFilter } from '../../lib/core/reference.ts'
import { CandidateOrder } from '../../lib/selection/candidate-order.ts'
import { eventually } from '../support/eventually.ts'
import {
  fakeCatalog,
  fakeMember,
  fakeMembership,
  recordingLog,
  recordingMetrics,
} from '../support/fake-cluster.ts'
import { makeTestCluster } from '../support/test-trust.ts'
import {
  blobPath,
  digestOf,
  fetchFrom,
  peerOf,
  registry,
  SpecControl,
  startPlane,
  systemClock,
} from './harness.ts'
import { misbehaviours, startHostilePeer } from './hostile-peer.ts'

const body = randomBytes(6_000_000)
const digest = digestOf(body)
let cluster: Map<string, CredentialSet>
const node = (name: string): CredentialSet => cluster.get(name) as CredentialSet
const open = new AsyncDisposableStack()

before(async () => {
  cluster = await makeTestCluster({ nodes: ['asking', 'liar'].map((name) => ({ name })) })
})

after(() => open.disposeAsync())

/** Asks the control plane as a node has it, and remembers what it is told. */
class RealLookups extends SpecControl {
  readonly #control: RegistryControl

  constructor(control: RegistryControl) {
    super()
    this.#control = control
  }

  override lookup(query: Parameters<RegistryControl['lookup']>[0]): ReturnType<RegistryControl['lookup']> {
    return this.#control.lookup(query)
  }

  override transferred(report: TransferReport): void {
    super.transferred(report)
    this.#control.transferred(report)
  }
}

test('the next attempt after a sole holder gave wrong bytes is answered 404 at once, and the liar is named', async () => {
  const liar = open.use(
    await startHostilePeer(node('liar'), '127.0.11.111', body, misbehaviours['sends a wrong last byte']),
  )
  const peer = peerOf(node('liar'), liar.endpoint)
  const known = fakeMember('liar')
  const member = {
    ...known,
    record: {
      ...known.record,
      peerId: peer.peerId,
      p2p: [{ host: liar.endpoint.host, port: 5001 }],
      registryPort: peer.registryPort,
      certificateKeyHash: Buffer.from(peer.certificateKeyHash, 'hex'),
    },
  }
  const log = recordingLog()
  const list = new QuarantineList()
  const control = new RealLookups(
    createRegistryControl({
      catalog: fakeCatalog({ registries: [registry], holders: { [`${registry} ${digest}`]: [member] } }),
      membership: fakeMembership([fakeMember('self', { self: true }), member]),
      mirrors: () => ({ names: [registry], wildcard: false }),
      filter: new OfferFilter(),
      order: new CandidateOrder({ zone: '', clock: systemClock, rng: { next: () => 0 } }),
      quarantine: {
        has: (peerId) => list.has(peerId, Date.now()),
        size: () => list.current(Date.now()).length,
        condemn: (peerId, wrong) => void list.add({ peerId, name: 'liar' }, wrong, Date.now(), 600_000),
      },
      clock: systemClock,
      log,
      metrics: recordingMetrics(),
      onMissing: () => {},
      onDamaged: () => {},
      onUnmapped: () => {},
    }),
  )
  const asking = open.use(await startPlane(node('asking'), { host: '127.0.11.112', control }))
  const first = await fetchFrom(asking.endpoint, node('asking'), blobPath(digest))
  assert.equal(first.end, 'early', 'the end of the body is held back, and it ends by FIN')
  assert.ok(first.body.equals(body.subarray(0, first.body.length)))
  await eventually(() => control.transfers.some(({ outcome }) => outcome === 'wrong-bytes'))
  const { requests } = liar.seen
  for (const range of [`bytes=${first.body.length}-`, undefined]) {
    const headers = range === undefined ? {} : { range }
    const next = await fetchFrom(asking.endpoint, node('asking'), blobPath(digest), { headers })
    assert.equal(next.status, 404)
    assert.match(next.body.toString(), /cannot be asked now: in quarantine for wrong bytes/)
  }
  assert.equal(liar.seen.requests, requests, 'it is not asked again')
  assert.ok(log.lines.some((line) => JSON.stringify(line).includes('do not match their digest')))
})
