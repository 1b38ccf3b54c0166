import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { flyingAnswer } from '../../lib/app/flights/lookup.ts'
import {
  type ClaimVerdict,
  createFlightsService,
  type FlightsService,
} from '../../lib/app/flights/service.ts'
import { Stewards } from '../../lib/app/flights/stewards.ts'
import type { LookupAnswer, LookupQuery } from '../../lib/core/lookup.ts'
import type { PeerId } from '../../lib/core/peer-id.ts'
import { defaultFlightSettings } from '../../lib/flights/settings.ts'
import { fakeDigest, fakeMember, recordingLog, recordingMetrics } from '../support/fake-cluster.ts'

const registry = 'docker.io'
const digest = fakeDigest('layer')
const key = { registry, digest }
const self = fakeMember('self', { self: true })
const parent = fakeMember('parent')
const dead = fakeMember('dead', { state: 'dead' })
const members = [self, parent, dead]
const memberOf = (peerId: PeerId) => members.find(({ record }) => record.peerId === peerId)

const query: LookupQuery = {
  registry,
  target: { kind: 'digest', repository: 'library/one', digest },
  fromPeer: false,
  claim: { lost: [] },
}
const nobody: LookupAnswer = { found: false, registry, miss: 'no-holder', detail: 'nobody has it' }

function flying(verdict: ClaimVerdict | undefined, serves = false) {
  const claims: (readonly PeerId[])[] = []
  return {
    claims,
    serves: () => serves,
    async claim(_: unknown, { holders }: { holders: readonly PeerId[] }) {
      claims.push(holders)
      return verdict
    },
  }
}

describe('what flights make of an answer of the catalog', () => {
  it('is the parent that the steward names, where that can be asked', async () => {
    const follow = { role: 'follow', parent: parent.record.peerId } as const
    const answer = await flyingAnswer(query, nobody, flying(follow), memberOf)
    assert.ok(answer.found)
    assert.equal(answer.flight, 'follow')
    assert.deepEqual(
      answer.candidates.map(({ peer }) => peer.name),
      ['parent'],
    )
    const lost = { role: 'follow', parent: dead.record.peerId } as const
    assert.equal(await flyingAnswer(query, nobody, flying(lost), memberOf), nobody)
  })

  it('is a 404 for the containerd of who leads, which says so, and of who goes upstream', async () => {
    const leads = await flyingAnswer(query, nobody, flying({ role: 'lead' }), memberOf)
    assert.match(leads.found ? '' : leads.detail, /nobody has it; this node gets it from upstream/)
    assert.equal(await flyingAnswer(query, nobody, flying({ role: 'upstream' }), memberOf), nobody)
  })

  it('is what this node has so far for a peer, while it gets it, and nothing is claimed for a peer', async () => {
    const here: LookupAnswer = { found: false, registry, miss: 'not-local', detail: '' }
    const fromPeer = { ...query, fromPeer: true }
    const flights = flying({ role: 'lead' }, true)
    const answer = await flyingAnswer(fromPeer, here, flights, memberOf)
    assert.equal(answer.found && answer.flight, 'serve')
    assert.equal(await flyingAnswer(fromPeer, here, flying(undefined), memberOf), here)
    assert.deepEqual(flights.claims, [])
  })

  it('is the answer as it was for tags, for questions of sizes, and with more than three holders', async () => {
    const flights = flying({ role: 'lead' })
    const { claim: _, ...size } = query
    const tag = { ...query, target: { kind: 'tag', repository: 'library/one', tag: '1' } } as const
    for (const asked of [size, tag])
      assert.equal(await flyingAnswer(asked, nobody, flights, memberOf), nobody)
    const many: LookupAnswer = { found: true, ...key, local: false, candidates: [], holders: 4 }
    assert.equal(await flyingAnswer(query, many, flights, memberOf), many)
    assert.deepEqual(flights.claims, [])
  })
})

describe('flights of a node', () => {
  let service: FlightsService
  let enabled = true
  const metrics = recordingMetrics()

  beforeEach(async () => {
    enabled = true
    service = createFlightsService({
      self: self.record.peerId,
      members: () => [self],
      memberOf,
      registriesOf: () => [registry],
      isNamed: () => true,
      isEnabled: () => enabled,
      hasLocal: () => false,
      uploadsAtOnce: () => 256,
      datagrams: { send: () => {}, onDatagram: () => {}, available: () => true },
      rpc: { request: async () => [], handle: () => {} },
      store: {
        reader: () => ({
          open: async () => undefined,
          openGrowing: async () => ({
            look: async () => ({ state: 'open', reachedBytes: 1, sizeBytes: 10 }),
            read: async () => 0,
            close: async () => {},
          }),
          close: async () => {},
        }),
        source: () => ({ kind: 'oci-layout', path: '/nowhere' }),
      },
      clock: { monotonicMs: () => performance.now(), wallMs: () => Date.now() },
      log: recordingLog(),
      metrics,
    })
    await service.start()
  })
  afterEach(() => service.stop())

  it('name the one that claims what nobody has as leader, and show who leads and who arranges it', async () => {
    assert.deepEqual(await service.claim(key, { lost: [], holders: [] }), { role: 'lead' })
    assert.equal(service.serves(key), true)
    assert.deepEqual(
      service.views().map(({ role, leader, steward, savedBytes }) => [role, leader, steward, savedBytes]),
      [
        ['lead', 'self', 'self', 0],
        ['steward', 'self', 'self', 0],
      ],
    )
  })

  it('that are switched off for a registry send each pull upstream or to the holders, and give peers nothing', async () => {
    await service.claim(key, { lost: [], holders: [] })
    enabled = false
    assert.equal(service.serves(key), false)
    const other = { registry, digest: fakeDigest('another') }
    assert.deepEqual(await service.claim(other, { lost: [], holders: [] }), { role: 'upstream' })
    const holders = [parent.record.peerId]
    assert.equal(await service.claim(other, { lost: [], holders }), undefined)
    assert.equal(service.views().filter(({ digest: of }) => of === other.digest).length, 0)
  })
})

describe('the stewards of a blob', () => {
  const suspect = fakeMember('suspect', { state: 'suspect' })
  const all = [self, parent, dead, suspect]
  const stewards = new Stewards({
    members: () => all,
    registriesOf: () => [registry],
    isNamed: () => true,
    settings: defaultFlightSettings,
  })

  it('are no dead ones, and those that membership suspects are marked', () => {
    const of = (peerId: PeerId) => all.find(({ record }) => record.peerId === peerId)
    const seen = new Map<string, boolean | undefined>()
    for (let index = 0; index < 50; index++) {
      const choices = stewards.of({ registry, digest: fakeDigest(`${index}`) }, of)
      assert.equal(choices.length, 2)
      for (const { peerId, doubtful } of choices) seen.set(of(peerId)?.record.name ?? '', doubtful)
    }
    assert.deepEqual(
      [...seen].sort(([a], [b]) => (a < b ? -1 : 1)),
      [
        ['parent', false],
        ['self', false],
        ['suspect', true],
      ],
    )
  })
})
