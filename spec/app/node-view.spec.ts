import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { drainView } from '../../lib/app/drain-view.ts'
import { imageViews, peerViews, type ViewSources, whereView } from '../../lib/app/node-view.ts'
import type { PeerConnector } from '../../lib/core/cluster.ts'
import type { FlightView } from '../../lib/core/ops-view.ts'
import { fakeCatalog, fakeDigest, fakeMember, fakeMembership } from '../support/fake-cluster.ts'

const self = fakeMember('self', { self: true })
const other = fakeMember('node-a', { zone: 'rack-1' })
const gone = fakeMember('node-b', { state: 'dead' })
const here = fakeDigest('here')
const there = fakeDigest('there')

const sources: ViewSources = {
  membership: fakeMembership([self, other, gone]),
  catalog: fakeCatalog({
    registries: ['docker.io'],
    tags: {
      'docker.io/library/one:1': { state: 'agreed', digest: there, holders: 1 },
      'docker.io/library/two:2': { state: 'disputed', sides: [{ digest: here, holders: 2 }] },
    },
    holders: { [`docker.io ${here}`]: [self], [`docker.io ${there}`]: [other] },
  }),
  connector: { connections: () => [{ peerId: other.record.peerId }] } as unknown as PeerConnector,
}

describe('views of a node', () => {
  it('show every member with its state, the dead too', () => {
    const peers = peerViews(sources)
    assert.deepEqual(
      peers.map((peer) => [peer.name, peer.state, peer.self, peer.connected]),
      [
        ['node-a', 'alive', false, true],
        ['node-b', 'dead', false, false],
        ['self', 'alive', true, true],
      ],
    )
    assert.equal(peers[0]?.zone, 'rack-1')
  })

  it('show what each member does in the flights that this node knows', () => {
    const known = { registry: 'docker.io', digest: here, state: 'open', sizeBytes: 100 } as const
    const views: readonly FlightView[] = [
      {
        ...known,
        role: 'follow',
        steward: 'node-a',
        leader: null,
        parent: 'node-a',
        reachedBytes: 10,
        savedBytes: 10,
        participants: 1,
        tree: [],
      },
      {
        ...known,
        role: 'steward',
        steward: 'self',
        leader: 'node-a',
        parent: null,
        reachedBytes: 20,
        savedBytes: 8,
        participants: 2,
        tree: [
          { node: 'node-a', parent: null, leads: true, reachedBytes: 20 },
          { node: 'self', parent: 'node-a', leads: false, reachedBytes: 8 },
        ],
      },
    ]
    const peers = peerViews({ ...sources, flights: { views: () => [...views] } })
    const flying = { registry: 'docker.io', digest: here, sizeBytes: 100 }
    assert.deepEqual(
      peers.map(({ name, flights }) => [name, flights]),
      [
        ['node-a', [{ ...flying, role: 'lead', parent: null, reachedBytes: 20 }]],
        ['node-b', undefined],
        ['self', [{ ...flying, role: 'follow', parent: 'node-a', reachedBytes: 10 }]],
      ],
    )
  })

  const verdicts: readonly [string, RegExp][] = [
    ['docker.io/library/one:1', /a pull here comes from node-a/],
    [there, /a pull here comes from node-a/],
    [here, /held here and nowhere else/],
    [fakeDigest('nowhere'), /no live node holds .*upstream/],
    ['docker.io/library/two:2', /disagree/],
    ['docker.io/library/three:3', /no live node announces docker\.io\/library\/three:3/],
    ['quay.io/a/b:1', /quay\.io is not mirrored/],
    [`docker.io/library/one@${here}`, /held here/],
  ]
  for (const [query, expected] of verdicts) {
    it(`say where ${query.slice(0, 40)} comes from`, () => {
      assert.match(whereView(query, sources).verdict, expected)
    })
  }

  it('refuse what is neither a digest nor a reference', () => {
    assert.throws(() => whereView('sha256:abcdef0123456789abcdef0123456789abcdef', sources), {
      code: 'DIGEST_INVALID',
    })
    assert.throws(() => whereView('UPPER CASE', sources), { code: 'REFERENCE_INVALID' })
  })

  it('say so where nothing is shared', () => {
    assert.match(whereView(here, undefined).verdict, /shares nothing/)
  })
})

describe('what the cluster would lose with a node', () => {
  const twin = fakeMember('twin')
  const catalog = {
    ...fakeCatalog({ registries: ['docker.io'] }),
    allTags: () => [
      { registry: 'docker.io', repository: 'a', tag: '1', digest: here, holders: [other.record.peerId] },
      { registry: 'docker.io', repository: 'b', tag: '1', digest: there, holders: [other.record.peerId] },
      {
        registry: 'docker.io',
        repository: 'c',
        tag: '1',
        digest: fakeDigest('c'),
        holders: [self.record.peerId],
      },
    ],
    wholeHolders: (_registry: string, digest: string) =>
      digest === here ? [other.record.peerId, self.record.peerId] : undefined,
    soleDigests: (holder: string) =>
      holder === other.record.peerId ? [{ registry: 'docker.io', digest: there }] : [],
  }
  const nodes = {
    ...sources,
    catalog,
    membership: fakeMembership([
      self,
      other,
      twin,
      { ...twin, record: { ...twin.record, peerId: gone.record.peerId } },
    ]),
  }

  it('are the digests of which it is the only holder, and the images that need them', () => {
    const view = drainView('node-a', nodes)
    assert.deepEqual([view.onlyThereCount, view.images], [1, ['docker.io/b:1']])
    assert.match(view.verdict, /^1 digest and 1 image would be on no live node/)
    assert.deepEqual(drainView(self.record.peerId, nodes).onlyThereCount, 0)
  })

  it('say so where no node, or more than one, has the name, and where nothing is shared', () => {
    assert.throws(() => drainView('nobody', nodes), { code: 'NOT_FOUND' })
    assert.throws(() => drainView('twin', nodes), { code: 'USAGE', message: /2 members/ })
    assert.throws(() => drainView('node-a', undefined), { code: 'USAGE' })
  })

  it('is told apart from what this node cannot know', () => {
    assert.deepEqual(
      imageViews(nodes).map((image) => image.whole),
      [['node-a', 'self'], null, null],
    )
  })
})
