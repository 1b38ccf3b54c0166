import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createRegistryControl } from '../../../lib/app/registry/control.ts'
import { systemClock } from '../../../lib/app/system.ts'
import type { LookupQuery } from '../../../lib/core/lookup.ts'
import { OfferFilter } from '../../../lib/core/reference.ts'
import type { TagRules } from '../../../lib/core/settings.ts'
import {
  fakeCatalog,
  fakeDigest,
  fakeMember,
  fakeMembership,
  recordingLog,
  recordingMetrics,
} from '../../support/fake-cluster.ts'

const self = fakeMember('self', { self: true })
const alive = fakeMember('node-a')
const dead = fakeMember('node-b', { state: 'dead' })
const here = fakeDigest('here')
const there = fakeDigest('there')
const lost = fakeDigest('lost')

function setUp(inQuarantine: readonly string[] = [], tagRules?: (registry: string) => TagRules) {
  const condemned: string[] = []
  const membership = fakeMembership([self, alive, dead])
  const log = recordingLog()
  const metrics = recordingMetrics()
  const missing: string[] = []
  const control = createRegistryControl({
    catalog: fakeCatalog({
      registries: ['docker.io', 'quay.io'],
      tags: {
        'docker.io/library/one:1': { state: 'agreed', digest: there, holders: 1 },
        'docker.io/library/two:2': {
          state: 'disputed',
          sides: [
            { digest: here, holders: 1 },
            { digest: there, holders: 1 },
          ],
        },
        'docker.io/both/both:1': { state: 'agreed', digest: here, holders: 1 },
        'quay.io/both/both:1': { state: 'agreed', digest: here, holders: 1 },
      },
      holders: {
        [`docker.io ${here}`]: [self, alive],
        [`docker.io ${there}`]: [alive, dead],
        [`docker.io ${lost}`]: [dead],
      },
    }),
    membership,
    mirrors: () => ({ names: ['docker.io', 'quay.io'], wildcard: false }),
    ...(tagRules === undefined ? {} : { tagRules }),
    filter: new OfferFilter(),
    order: { order: (members) => members, started: () => undefined, learn: () => undefined },
    quarantine: {
      has: (peerId) => inQuarantine.includes(peerId),
      size: () => inQuarantine.length,
      condemn: (peerId, { evidence }) => void condemned.push(`${peerId} ${evidence}`),
    },
    clock: systemClock,
    log,
    metrics,
    onDamaged: () => {},
    onUnmapped: () => {},
    onMissing: (digest) => void missing.push(digest),
  })
  return { control, membership, log, metrics, missing, condemned }
}

const byDigest = (
  digest: typeof here,
  registry: string | undefined = 'docker.io',
  fromPeer = false,
): LookupQuery => ({
  registry,
  target: { kind: 'digest', repository: 'library/one', digest },
  fromPeer,
})
const byTag = (repository: string, tag: string, registry: string | undefined = 'docker.io'): LookupQuery => ({
  registry,
  target: { kind: 'tag', repository, tag },
  fromPeer: false,
})

describe('registry control', () => {
  it('offers live holders as candidates and leaves the dead out', async () => {
    const answer = await setUp().control.lookup(byDigest(there))
    assert.ok(answer.found)
    assert.equal(answer.local, false)
    assert.deepEqual(
      answer.candidates.map((candidate) => candidate.peer.name),
      ['node-a'],
    )
  })

  it('finds the digest of a tag on which the nodes agree', async () => {
    const answer = await setUp().control.lookup(byTag('library/one', '1'))
    assert.ok(answer.found)
    assert.equal(answer.digest, there)
  })

  it('takes the other names of Docker Hub for docker.io', async () => {
    const answer = await setUp().control.lookup(byDigest(there, 'registry-1.docker.io'))
    assert.ok(answer.found)
  })

  const misses: readonly [string, LookupQuery, string][] = [
    ['only dead nodes hold it', byDigest(lost), 'no-holder'],
    ['the registry is not mirrored', byDigest(here, 'ghcr.io'), 'not-mirrored'],
    ['the tag is unknown', byTag('library/one', '9'), 'unknown-tag'],
    ['the tag is latest', byTag('library/one', 'latest'), 'excluded'],
    ['the nodes disagree on the tag', byTag('library/two', '2'), 'tag-disputed'],
    [
      'two registries know the repository',
      { ...byTag('both/both', '1'), registry: undefined },
      'ambiguous-registry',
    ],
    ['no registry knows the repository', { ...byTag('none/none', '1'), registry: undefined }, 'no-registry'],
    ['a peer asks for what is not here', byDigest(there, 'docker.io', true), 'not-local'],
  ]
  for (const [when, query, expected] of misses) {
    it(`says ${expected} where ${when}`, async () => {
      const answer = await setUp().control.lookup(query)
      assert.ok(!answer.found)
      assert.equal(answer.miss, expected)
      assert.match(answer.detail, /\S/)
    })
  }

  it('answers a disputed tag with the digest of the fixed rule where the majority decides, and warns', async () => {
    const { control, log, metrics } = setUp([], () => ({ resolve: true, disputed: 'majority' }))
    const answer = await control.lookup(byTag('library/two', '2'))
    assert.ok(answer.found)
    assert.equal(answer.digest, [here, there].sort()[0])
    assert.equal(metrics.counts.get('starling_disputed_tags_answered_total'), 1)
    const warning = log.lines.find((line) => /disagree on a tag/.test(line.message))
    assert.equal(warning?.level, 'warn')
    assert.match(JSON.stringify(warning?.fields), new RegExp(`${here}.* on 1.*${there}.* on 1`))
  })

  it('answers digests only where the tags of a registry are switched off', async () => {
    const { control } = setUp([], (registry) => ({ resolve: registry !== 'docker.io', disputed: 'majority' }))
    for (const [repository, tag] of [
      ['library/one', '1'],
      ['library/two', '2'],
    ] as const) {
      const answer = await control.lookup(byTag(repository, tag))
      assert.ok(!answer.found)
      assert.deepEqual([answer.miss, /resolveTags is off/.test(answer.detail)], ['excluded', true])
    }
    assert.ok((await control.lookup(byDigest(there))).found)
    const other = await control.lookup(byTag('both/both', '1', 'quay.io'))
    assert.equal(other.found ? '' : other.miss, 'no-holder')
  })

  it('finds the registry by the repository where a request has no ns', async () => {
    const answer = await setUp().control.lookup({ ...byTag('library/one', '1'), registry: undefined })
    assert.ok(answer.found)
    assert.equal(answer.registry, 'docker.io')
  })

  it('answers a peer from local content and names no candidates, so that requests never loop', async () => {
    const answer = await setUp().control.lookup(byDigest(here, 'docker.io', true))
    assert.ok(answer.found)
    assert.deepEqual([answer.local, answer.candidates], [true, []])
  })

  it('turns a refused connection into a hint for membership', () => {
    const { control, membership } = setUp()
    const report = { peerId: alive.record.peerId, bytes: 0, firstByteMs: undefined, durationMs: 1 }
    control.transferred({ ...report, outcome: 'unreachable' })
    control.transferred({ ...report, outcome: 'stalled' })
    control.transferred({ ...report, outcome: 'cancelled' })
    assert.deepEqual(membership.hints, ['node-a refused', 'node-a stalled'])
  })

  it('names a peer that sent wrong bytes in the log', () => {
    const { control, log } = setUp()
    const outcome = 'wrong-bytes'
    control.transferred({ peerId: alive.record.peerId, outcome, bytes: 9, firstByteMs: 1, durationMs: 1 })
    assert.ok(
      log.lines.some((line) => line.level === 'error' && JSON.stringify(line.fields).includes('node-a')),
    )
  })

  it('takes nothing from a peer in quarantine, and says why nobody is left', async () => {
    const answer = await setUp([alive.record.peerId]).control.lookup(byDigest(there))
    assert.ok(!answer.found)
    assert.equal(answer.miss, 'no-holder')
    assert.match(answer.detail, /in quarantine/)
  })

  it('has a peer condemned by evidence, and by nothing less', () => {
    const { control, condemned } = setUp()
    const { peerId } = alive.record
    const report = { peerId, bytes: 0, firstByteMs: undefined, durationMs: 1 }
    control.transferred({ ...report, outcome: 'disputed' })
    control.transferred({ ...report, outcome: 'broken' })
    assert.deepEqual(condemned, [])
    control.transferred({ ...report, outcome: 'wrong-bytes', wrong: { digest: there, evidence: 'copy' } })
    assert.deepEqual(condemned, [`${peerId} copy`])
  })

  it('leaves one log line and one count for each request', () => {
    const { control, log, metrics } = setUp()
    control.requested({
      method: 'GET',
      path: '/v2/library/one/blobs/x',
      registry: 'docker.io',
      status: 200,
      source: 'peer',
      reason: 'from node-a',
      peers: ['node-a'],
      bytes: 10,
      durationMs: 1.234,
      incomplete: false,
      fromPeer: false,
      client: 'self',
    })
    assert.equal(log.lines.length, 1)
    assert.equal(
      metrics.counts.get('starling_requests_total method=GET status=200 source=peer from=client'),
      1,
    )
  })

  it('has the store listed anew when a blob that is offered can not be opened', () => {
    const { control, missing } = setUp()
    control.missing(here)
    assert.deepEqual(missing, [here])
  })
})
